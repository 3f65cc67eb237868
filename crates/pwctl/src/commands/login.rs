use std::io::{self, Read};

use api::ClientError;
use clap::Args;
use serde_json::json;

use crate::args::Global;
use crate::connect::{choose, client};
use crate::contexts::{self, Choice, Context, Secret, Token};
use crate::failure::Failure;
use crate::output::Output;
use crate::terminal;

/// What every token begins with; a one-time code does not.
const TOKEN_PREFIX: &str = "pwt_";
/// More than any token is long; whoever pipes more meant another file.
const LONGEST: u64 = 4096;

#[derive(Debug, Args)]
#[command(after_help = "\
It asks for the one-time code that pwctl user create prints, or for a token, and shows neither. The server is kept as a
context, which becomes the current one.

Examples:
  pwctl login https://pitwall.example
  pwctl login https://pitwall.example --with-token < token")]
pub(crate) struct Login {
    /// The server's address [default: the current one]
    #[arg(value_name = "URL")]
    server: Option<String>,
    /// Read a token from standard input
    #[arg(long)]
    with_token: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The token is revoked on the server and forgotten here.

Example:
  pwctl logout")]
pub(crate) struct Logout {}

impl Login {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let choice = self.choice(global)?;
        // Before anybody types a secret that could not be sent.
        client(&choice, None)?.may_carry_secrets()?;
        let token = match self.with_token {
            true => piped()?,
            false => asked(&choice).await?,
        };
        // What does not work is not kept.
        let me = client(&choice, Some(token.clone()))?.me().await?;
        let name = match (&global.context, &choice.context) {
            (Some(name), _) | (None, Some(name)) => name.clone(),
            (None, None) => name_of(&choice.server),
        };
        let context = Context {
            server: choice.server.clone(),
            token: Some(Secret::new(token)),
            insecure_http: choice.insecure_http,
        };
        contexts::change(|contexts| {
            contexts.put(&name, context)?;
            contexts.make_current(&name)
        })?;
        let server = &choice.server;
        let user = &me.user.name;
        output.one(
            &json!({ "context": name, "server": server, "user": user }),
            &name,
            || format!("signed in to {server} as {user}; it is the context {name}\n"),
        )
    }

    /// The server that is meant. A context that is named and not yet there gets this server.
    fn choice(&self, global: &Global) -> Result<Choice, Failure> {
        let Some(server) = &self.server else {
            return choose(global);
        };
        let named = Global {
            url: Some(server.clone()),
            context: None,
            ..global.clone()
        };
        choose(&named)
    }
}

impl Logout {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let choice = choose(global)?;
        let (Some(name), Token::Known(token)) = (&choice.context, &choice.token) else {
            return Err(Failure::SignedOut {
                server: choice.server,
            });
        };
        let revoked = client(&choice, Some(token.reveal().to_owned()))?.logout().await;
        contexts::change(|contexts| {
            let Some(held) = contexts.get(name).cloned() else {
                return Ok(());
            };
            contexts.put(name, Context { token: None, ..held })
        })?;
        match revoked {
            Err(error) if !opens_nothing(&error) => Err(Failure::NotRevoked { source: error }),
            Ok(()) | Err(_) => {
                let server = &choice.server;
                output.one(&json!({ "context": name, "server": server }), name, || {
                    format!("signed out of {server}\n")
                })
            }
        }
    }
}

/// Whether the token opens nothing any more, so that it needs no revoking. One whose user is disabled, or whose scopes are
/// few, is refused as well and goes on being valid.
fn opens_nothing(refusal: &ClientError) -> bool {
    refusal.is_code("unauthenticated") || refusal.is_code("token_expired")
}

/// The token on standard input.
fn piped() -> Result<String, Failure> {
    let mut text = String::new();
    let read = io::stdin().lock().take(LONGEST).read_to_string(&mut text);
    match (read, text.trim()) {
        (Err(source), _) => Err(Failure::Input { source }),
        (Ok(_), "") => Err(Failure::NoSecret),
        (Ok(_), token) => Ok(token.to_owned()),
    }
}

/// The token that a person types, or that the code they type is exchanged for.
async fn asked(choice: &Choice) -> Result<String, Failure> {
    let typed = terminal::secret(&format!("Code or token for {}: ", choice.server)).await?;
    match typed.trim() {
        "" => Err(Failure::NoSecret),
        token if token.starts_with(TOKEN_PREFIX) => Ok(token.to_owned()),
        code => {
            let token = client(choice, None)?.login(code, &machine()).await?;
            token.secret.ok_or_else(|| Failure::SecretLost {
                what: "the token of this machine".to_owned(),
                next: "ask an admin for another code: pwctl user code NAME".to_owned(),
            })
        }
    }
}

/// What this machine's token is called.
fn machine() -> String {
    let uname = rustix::system::uname();
    format!("pwctl on {}", uname.nodename().to_string_lossy())
}

/// A context's name where none is given: the server's own.
fn name_of(server: &str) -> String {
    let host = server.split("://").nth(1).unwrap_or(server);
    let host = host.split('/').next().unwrap_or(host);
    host.replace(['[', ']'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_called_as_its_server() {
        for (server, name) in [
            ("https://pitwall.example", "pitwall.example"),
            ("http://127.0.0.1:7480/", "127.0.0.1:7480"),
            ("https://[::1]:8443/x", "::1:8443"),
        ] {
            assert_eq!(name_of(server), name);
        }
    }
}
