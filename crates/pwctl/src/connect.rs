//! Finding the server and the token.
//!
//! The token is `PITWALL_TOKEN`, else the content of the file `PITWALL_TOKEN_FILE`, else that of `admin.token` in
//! the state directory. It is never an argument: arguments can be read by everybody on the machine.

use std::path::PathBuf;

use api::{Client, ClientConfig};

use crate::args::Global;
use crate::failure::Failure;

const USER_AGENT: &str = concat!("pwctl/", env!("CARGO_PKG_VERSION"));

/// A client that may ask for anything.
pub(crate) fn connect(global: &Global) -> Result<Client, Failure> {
    let token = token(global)?;
    build(global, Some(token))
}

/// A client for what is open to everybody.
pub(crate) fn connect_openly(global: &Global) -> Result<Client, Failure> {
    build(global, None)
}

fn build(global: &Global, token: Option<String>) -> Result<Client, Failure> {
    let config = ClientConfig {
        url: global.url.clone(),
        token,
        user_agent: USER_AGENT.to_owned(),
    };
    Ok(Client::new(config)?)
}

fn token(global: &Global) -> Result<String, Failure> {
    if let Some(token) = std::env::var("PITWALL_TOKEN")
        .ok()
        .filter(|token| !token.is_empty())
    {
        return Ok(token);
    }
    let path = std::env::var_os("PITWALL_TOKEN_FILE")
        .filter(|path| !path.is_empty())
        .map_or_else(|| global.state.join("admin.token"), PathBuf::from);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(source) => Err(Failure::TokenFile { path, source }),
    }
}
