//! Credentials for a registry. The password comes from the terminal or from standard input, never from an argument, where
//! everybody on the machine could read it.

use std::io::{self, IsTerminal, Read};

use api::RegistryAuth;
use clap::Args;

use crate::failure::Failure;
use crate::terminal;

/// More than the server takes.
const LONGEST: u64 = 32 * 1024;

/// As whom the image is pulled.
#[derive(Debug, Args)]
pub(crate) struct Registry {
    /// Pull the image as this user; the password is asked for, or read from standard input
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
            let mut text = String::new();
            let read = io::stdin().lock().take(LONGEST).read_to_string(&mut text);
            read.map_err(|source| Failure::Input { source })?;
            text
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
