//! Credentials for a registry. The password comes from the terminal or from standard input, never from an argument, where
//! everybody on the machine could read it.

use std::io::{self, IsTerminal};

use api::RegistryAuth;
use clap::Args;
use rustix::io::{Errno, read};

use crate::failure::Failure;
use crate::terminal;

/// More than the server takes.
const LONGEST: usize = 32 * 1024;

/// As whom the image is pulled.
#[derive(Debug, Args)]
pub(crate) struct Registry {
    /// Pull the image as this user; the password is asked for, or is the first line of standard input
    #[arg(long, value_name = "NAME")]
    registry_user: Option<String>,
}

impl Registry {
    /// The credentials, where a user is given.
    pub(crate) async fn auth(&self) -> Result<Option<RegistryAuth>, Failure> {
        let Some(username) = self.registry_user.clone() else {
            return Ok(None);
        };
        let password = if io::stdin().is_terminal() {
            terminal::secret(&format!("Password of {username} for the registry: ")).await?
        } else {
            first_line().map_err(|source| Failure::Input { source })?
        };
        match password.trim_end_matches(['\r', '\n']) {
            "" => Err(Failure::NoPassword),
            password => Ok(Some(RegistryAuth {
                username,
                password: password.to_owned(),
            })),
        }
    }
}

/// The first line of standard input. Nothing behind it is taken: with `run` that is the command's.
fn first_line() -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LONGEST {
        match read(io::stdin(), &mut byte) {
            Ok(0) => break,
            Ok(_) if byte == *b"\n" => break,
            Ok(_) => line.extend(byte),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    String::from_utf8(line).map_err(|_| io::ErrorKind::InvalidData.into())
}
