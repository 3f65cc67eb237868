use api::CreateToken;
use api::client::all_pages;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use crate::args::Global;
use crate::connect::connect;
use crate::duration::seconds;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::Column::{Elastic, Whole};
use crate::table::{Table, age, or_dash};

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// List the tokens of your account
    #[command(visible_alias = "list", after_help = "Example:\n  pwctl token ls")]
    Ls(Account),
    /// Make a token for a program, and print it this once
    Create(Create),
    /// Revoke tokens; what is open with them ends
    #[command(visible_aliases = ["delete", "revoke"])]
    Rm(Rm),
}

/// Whose account is meant.
#[derive(Debug, Args)]
pub(crate) struct Account {
    /// Somebody else's account, for admins
    #[arg(long, value_name = "NAME", default_value = "me", hide_default_value = true)]
    user: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A token is good for no more than the one that you are signed in with, and for no longer.

Example:
  pwctl token create backup --scope vm:read --scope vm:use --for 30d > token")]
pub(crate) struct Create {
    /// What it is for
    name: String,
    /// What it is good for: vm:read, vm:use, vm:write, account:read, account:write, admin; repeatable [default: all
    /// that yours is]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// How long it is good, such as 8h or 30d [default: 90d]
    #[arg(long = "for", value_name = "DURATION", value_parser = seconds)]
    lifetime: Option<u64>,
    #[command(flatten)]
    account: Account,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pwctl token rm tok_0123456789abcdefghijklmnop")]
pub(crate) struct Rm {
    /// As pwctl token ls prints them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    account: Account,
}

impl Token {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Ls(account) => account.list(global, output).await,
            Self::Create(create) => create.run(global, output).await,
            Self::Rm(rm) => rm.run(global, output).await,
        }
    }
}

impl Account {
    async fn list(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        let list = all_pages(async |page| client.token_list(&self.user, &page).await).await?;
        let ids = || list.items.iter().map(|token| token.id.to_string()).collect();
        let now = Timestamp::now();
        output.list(&list, ids, || {
            let rows = list.items.iter().map(|token| {
                [
                    token.id.to_string().into(),
                    token.name.clone().into(),
                    age(&token.created_at, now).into(),
                    or_dash(token.last_used_at.as_ref().map(|at| age(at, now)).as_ref()).into(),
                    or_dash(token.expires_at.as_ref()).into(),
                    token.scopes.join(",").into(),
                ]
            });
            let columns = [
                Whole("ID"),
                Elastic("NAME"),
                Whole("AGE"),
                Whole("USED"),
                Whole("UNTIL"),
                Elastic("SCOPES"),
            ];
            Table::new(columns, rows)
        })
    }
}

impl Create {
    async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let wish = CreateToken {
            name: self.name,
            scopes: Some(self.scopes).filter(|scopes| !scopes.is_empty()),
            expires_at: None,
            expires_in_seconds: self.lifetime,
        };
        let token = connect(global)?.token_create(&self.account.user, &wish).await?;
        let text = token.secret.as_ref().ok_or_else(|| Failure::SecretLost {
            what: format!("the text of {}", token.id),
            next: format!("revoke it, and make another: pwctl token rm {}", token.id),
        })?;
        output.remark(&format!(
            "this is the only time that {} is shown; it ends {}",
            token.id,
            token.expires_at.as_deref().unwrap_or("never")
        ));
        output.one(&token, &token.id.to_string(), || format!("{text}\n"))
    }
}

impl Rm {
    async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        for id in &self.ids {
            client.token_delete(&self.account.user, id).await?;
        }
        let gone = self.ids;
        let lines = || gone.iter().map(|id| format!("{id} is revoked\n")).collect();
        let items = json!({ "items": gone, "next": null });
        output.many(&items, gone.clone(), lines)
    }
}
