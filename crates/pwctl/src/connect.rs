//! Finding the server and the token.
//!
//! [`contexts::choose`] says which server, and where its token is. `PITWALL_TOKEN`, or the file that
//! `PITWALL_TOKEN_FILE` names, goes before that. A token is never an argument: arguments can be read by everybody on
//! the machine.

use std::path::{Path, PathBuf};

use api::{Client, ClientConfig};

use crate::args::Global;
use crate::contexts::{self, Choice, Contexts, Given, Token};
use crate::failure::Failure;

const USER_AGENT: &str = concat!("pwctl/", env!("CARGO_PKG_VERSION"));

/// A client that may ask for anything.
pub(crate) fn connect(global: &Global) -> Result<Client, Failure> {
    let choice = choose(global)?;
    let token = token(&choice, &global.state)?;
    client(&choice, Some(token))
}

/// A client for what is open to everybody.
pub(crate) fn connect_openly(global: &Global) -> Result<Client, Failure> {
    client(&choose(global)?, None)
}

/// Which server is meant.
pub(crate) fn choose(global: &Global) -> Result<Choice, Failure> {
    let env = |name| std::env::var(name).ok();
    let given = Given {
        url: global.url.clone(),
        context: global.context.clone(),
        env_url: env("PITWALL_URL"),
        env_context: env("PITWALL_CONTEXT"),
    };
    let mut choice = contexts::choose(&given, &Contexts::open()?)?;
    choice.insecure_http |= global.insecure_http;
    Ok(choice)
}

/// A client of this server, with this token.
pub(crate) fn client(choice: &Choice, token: Option<String>) -> Result<Client, Failure> {
    let config = ClientConfig {
        url: choice.server.clone(),
        token,
        user_agent: USER_AGENT.to_owned(),
    };
    Ok(match choice.insecure_http {
        true => Client::new_in_the_clear(config)?,
        false => Client::new(config)?,
    })
}

fn token(choice: &Choice, state: &Path) -> Result<String, Failure> {
    let env = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(token) = env("PITWALL_TOKEN").and_then(|token| token.into_string().ok()) {
        return Ok(token);
    }
    if let Some(path) = env("PITWALL_TOKEN_FILE") {
        return read(PathBuf::from(path));
    }
    match &choice.token {
        Token::Known(token) => Ok(token.reveal().to_owned()),
        Token::Admin => read(state.join("admin.token")),
        Token::Missing => Err(Failure::SignedOut {
            server: choice.server.clone(),
        }),
    }
}

fn read(path: PathBuf) -> Result<String, Failure> {
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(source) => Err(Failure::TokenFile { path, source }),
    }
}
