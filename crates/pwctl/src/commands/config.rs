use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use crate::args::Global;
use crate::complete;
use crate::connect::choose;
use crate::contexts::{self, Context, ContextError, Contexts, LOCAL, LOCAL_SERVER};
use crate::failure::Failure;
use crate::output::Output;
use crate::table::Column::{Elastic, Whole};
use crate::table::{Cell, Table};

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// List the servers that pwctl knows, without their tokens
    #[command(visible_alias = "ls", after_help = "Example:\n  pwctl config list")]
    List,
    /// Choose the server that is meant where none is named
    Use(Use),
    /// Name a server, or change what is kept of it
    Set(Set),
    /// Forget a server, with its token
    Rm(Remove),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pwctl config use local")]
pub(crate) struct Use {
    /// As config list shows it
    #[arg(add = complete::contexts())]
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A token comes by pwctl login only. It is dropped where the server becomes another.

Example:
  pwctl config set work --server https://pitwall.example")]
pub(crate) struct Set {
    /// What it is called from now on
    #[arg(add = complete::contexts())]
    name: String,
    /// Its address
    #[arg(long, value_name = "URL")]
    server: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The token stays good on the server; pwctl logout revokes it.

Example:
  pwctl config rm work")]
pub(crate) struct Remove {
    /// As config list shows it
    #[arg(add = complete::contexts())]
    name: String,
}

/// A context as it is listed.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    server: String,
    /// Whether it is the one that is meant where none is named.
    current: bool,
    /// Whether there is a token for it.
    signed_in: bool,
    insecure_http: bool,
}

impl Config {
    pub(crate) fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        match self {
            Self::List => list(global, output),
            Self::Use(wish) => {
                contexts::change(|contexts| contexts.make_current(&wish.name))?;
                told(&wish.name, "is the current context", output)
            }
            Self::Set(wish) => {
                api::Client::new(wish.config())?;
                contexts::change(|contexts| wish.apply(contexts, global.insecure_http))?;
                told(&wish.name, "is set", output)
            }
            Self::Rm(wish) => {
                contexts::change(|contexts| contexts.remove(&wish.name))?;
                told(&wish.name, "is forgotten", output)
            }
        }
    }
}

impl Set {
    /// Whoever cannot be spoken to should not be kept.
    fn config(&self) -> api::ClientConfig {
        api::ClientConfig {
            url: self.server.clone(),
            token: None,
            user_agent: String::new(),
        }
    }

    fn apply(&self, contexts: &mut Contexts, insecure_http: bool) -> Result<(), ContextError> {
        let held = contexts.get(&self.name).filter(|held| held.server == self.server);
        let token = held.and_then(|held| held.token.clone());
        let context = Context {
            server: self.server.clone(),
            token,
            insecure_http,
        };
        contexts.put(&self.name, context)
    }
}

fn told(name: &str, what: &str, output: &Output) -> Result<(), Failure> {
    output.one(&json!({ "name": name }), name, || format!("{name} {what}\n"))
}

fn list(global: &Global, output: &Output) -> Result<(), Failure> {
    let contexts = Contexts::open()?;
    let current = choose(global)?.context;
    let is_current = |name: &str| current.as_deref() == Some(name);
    let local = contexts.get(LOCAL).is_none().then(|| Shown {
        name: LOCAL.to_owned(),
        server: LOCAL_SERVER.to_owned(),
        current: is_current(LOCAL),
        signed_in: std::fs::File::open(global.state.join("admin.token")).is_ok(),
        insecure_http: false,
    });
    let known = contexts.iter().map(|(name, context)| Shown {
        name: name.to_owned(),
        server: context.server.clone(),
        current: is_current(name),
        signed_in: context.token.is_some(),
        insecure_http: context.insecure_http,
    });
    let shown: Vec<_> = local.into_iter().chain(known).collect();
    let names = || shown.iter().map(|context| context.name.clone()).collect();
    let word = |is: bool| Cell::from(if is { "yes" } else { "no" });
    output.list(&json!({ "items": shown, "next": null }), names, || {
        let rows = shown.iter().map(|context| {
            [
                context.name.as_str().into(),
                context.server.as_str().into(),
                word(context.current),
                word(context.signed_in),
            ]
        });
        Table::new(
            [
                Whole("NAME"),
                Elastic("SERVER"),
                Whole("CURRENT"),
                Whole("SIGNED IN"),
            ],
            rows,
        )
    })
}
