//! The client's key agent, reachable from inside: a socket in a directory that only the account can enter.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use russh::server::Handle;
use rustix::rand::{GetRandomFlags, getrandom};

use super::super::accounts::Account;
use super::super::user;
use super::Streams;
use super::listen::{self, Listening, Opening, SocketFile, listen_unix};

/// Where images keep sockets of this kind; the last is one that powerunit mounts itself.
const PARENTS: [&str; 2] = ["/tmp", "/dev/shm"];

const NAME: &str = "agent";

/// The agent's socket for one connection; gone when it is dropped.
#[derive(Debug)]
pub(super) struct Agent {
    path: PathBuf,
    _listening: Listening,
}

impl Agent {
    /// Makes directory and socket as the account.
    pub(super) async fn start(account: &Account, client: Handle, streams: Streams) -> io::Result<Self> {
        let (socket, folder) = user::run(account, make).await?;
        let path = folder.join(NAME);
        let file = SocketFile {
            path: path.clone(),
            folder: Some(folder),
            account: account.clone(),
        };
        Ok(Self {
            path,
            _listening: listen::unix(socket, file, client, streams, Opening::Agent)?,
        })
    }

    /// What `SSH_AUTH_SOCK` says.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Leaves no directory behind where there can be no socket.
fn make() -> io::Result<(OwnedFd, PathBuf)> {
    let folder = make_folder()?;
    match listen_unix(&folder.join(NAME)) {
        Ok(socket) => Ok((socket, folder)),
        Err(error) => {
            let _ = std::fs::remove_dir(folder);
            Err(error)
        }
    }
}

fn make_folder() -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom(&mut random, GetRandomFlags::empty())?;
    let name = format!("ssh-{:016x}", u64::from_ne_bytes(random));
    let mut made = Err(io::Error::from(io::ErrorKind::NotFound));
    for parent in PARENTS {
        let folder = Path::new(parent).join(&name);
        made = DirBuilder::new().mode(0o700).create(&folder).map(|()| folder);
        if made.is_ok() {
            break;
        }
    }
    made
}
