//! The two servers: given, or started on loopback.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use wire::guest::*;

use crate::run;

/// How to reach a server.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) login: String,
    pub(crate) key: PathBuf,
}

/// Both, and what ends with them.
pub(crate) struct Peers {
    pub(crate) ours: Server,
    pub(crate) peer: Server,
    _started: Option<Started>,
}

struct Started {
    children: Vec<Child>,
    _parent: UnixStream,
    _folder: tempfile::TempDir,
}

impl Drop for Started {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Peers {
    pub(crate) fn find() -> Self {
        match (std::env::var("OURS"), std::env::var("PEER")) {
            (Ok(ours), Ok(peer)) => Self {
                ours: given(&ours),
                peer: given(&peer),
                _started: None,
            },
            _ => Self::start(),
        }
    }

    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = generate_key(folder.path(), "key");
        let host_key = generate_key(folder.path(), "host-key");
        let server = |port| Server {
            host: "127.0.0.1".into(),
            port,
            login: "root".into(),
            key: key.clone(),
        };
        let (port, powerunit, parent) = start_powerunit(&key, &host_key);
        let (peer_port, sshd) = start_sshd(folder.path(), &host_key);
        Self {
            ours: server(port),
            peer: server(peer_port),
            _started: Some(Started {
                children: vec![powerunit, sshd],
                _parent: parent,
                _folder: folder,
            }),
        }
    }
}

fn given(address: &str) -> Server {
    let (host, port) = address.rsplit_once(':').unwrap();
    Server {
        host: host.to_owned(),
        port: port.parse().unwrap(),
        login: std::env::var("LOGIN").unwrap_or_else(|_| "root".into()),
        key: std::env::var_os("KEY").unwrap().into(),
    }
}

fn generate_key(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&path));
    path
}

fn start_powerunit(key: &Path, host_key: &Path) -> (u16, Child, UnixStream) {
    let program = std::env::var_os("POWERUNIT").unwrap_or_else(|| env!("CARGO_BIN_EXE_powerunit").into());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mut parent, theirs) = UnixStream::pair().unwrap();
    let child = Command::new(program)
        .arg("ssh")
        .stdin(OwnedFd::from(listener))
        .stdout(OwnedFd::from(theirs))
        .spawn()
        .unwrap();
    let disk = Disk::Serial("none".into());
    let config = Config {
        revision: 1,
        hostname: "here".into(),
        network: None,
        ssh: Ssh {
            port,
            host_key: HostKey::from_pem(std::fs::read_to_string(host_key).unwrap()),
            authorized_keys: vec![
                std::fs::read_to_string(key.with_extension("pub"))
                    .unwrap()
                    .trim()
                    .to_owned(),
            ],
            user_cas: Vec::new(),
            image_keys: false,
            barred: Vec::new(),
        },
        image: ImageDefaults::default(),
        disks: Disks {
            root: disk.clone(),
            root_devices: vec![],
            upper: disk,
            modules: None,
        },
        service: None,
        usage_every: None,
    };
    let frame = HostFrame::Config(Box::new(config));
    parent.write_all(&Encoder.encode(&frame).unwrap()).unwrap();
    assert!(parent.read(&mut [0; 4096]).unwrap() > 0, "it is ready");
    (port, child, parent)
}

/// Debian's, with its defaults where they do not need the system's files.
fn start_sshd(folder: &Path, host_key: &Path) -> (u16, Child) {
    // It insists on this directory of its own.
    std::fs::create_dir_all("/run/sshd").unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let config = folder.join("sshd_config");
    let text = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
         UsePAM yes\nPermitRootLogin yes\nSubsystem sftp /usr/lib/openssh/sftp-server\nMaxSessions 64\n",
        host_key.display(),
        folder.join("key.pub").display()
    );
    std::fs::write(&config, text).unwrap();
    let child = Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f"])
        .arg(&config)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(10), "sshd does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    (port, child)
}
