use std::path::PathBuf;

use api::CreateSshKey;
use api::client::all_pages;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use crate::args::Global;
use crate::connect::connect;
use crate::failure::Failure;
use crate::keys;
use crate::output::Output;
use crate::table::Column::{Elastic, Whole};
use crate::table::{Table, age};

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// List the SSH keys of your account, which open every VM that you may use
    #[command(visible_alias = "list", after_help = "Example:\n  pwctl key ls")]
    Ls(Account),
    /// Add SSH keys to your account
    Add(Add),
    /// Remove SSH keys from your account; open sessions stay
    #[command(visible_alias = "delete")]
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
A private key's file stands for the .pub beside it.

Example:
  pwctl key add ~/.ssh/id_ed25519.pub")]
pub(crate) struct Add {
    /// Files with OpenSSH public keys, one on each line
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    account: Account,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pwctl key rm SHA256:NCeRYfpm4bYWdLTuMh87b9n0jraYiZFCvew08n4GatY")]
pub(crate) struct Rm {
    /// As pwctl key ls prints them
    #[arg(required = true, value_name = "FINGERPRINT")]
    fingerprints: Vec<String>,
    #[command(flatten)]
    account: Account,
}

impl Key {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Ls(account) => account.list(global, output).await,
            Self::Add(add) => add.run(global, output).await,
            Self::Rm(rm) => rm.run(global, output).await,
        }
    }
}

impl Account {
    async fn list(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        let list = all_pages(async |page| client.key_list(&self.user, &page).await).await?;
        let fingerprints = || list.items.iter().map(|key| key.fingerprint.clone()).collect();
        let now = Timestamp::now();
        output.list(&list, fingerprints, || {
            let rows = list.items.iter().map(|key| {
                [
                    key.fingerprint.clone().into(),
                    key.kind.clone().into(),
                    age(&key.added_at, now).into(),
                    key.comment.clone().into(),
                ]
            });
            let columns = [
                Whole("FINGERPRINT"),
                Whole("TYPE"),
                Whole("AGE"),
                Elastic("COMMENT"),
            ];
            Table::new(columns, rows)
        })
    }
}

impl Add {
    async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        let mut added = Vec::new();
        for key in keys::lines_of(&self.files)? {
            added.push(
                client
                    .key_create(&self.account.user, &CreateSshKey { key })
                    .await?,
            );
        }
        let fingerprints: Vec<_> = added.iter().map(|key| key.fingerprint.clone()).collect();
        let lines = || {
            fingerprints
                .iter()
                .map(|key| format!("{key} is added\n"))
                .collect()
        };
        let items = json!({ "items": added, "next": null });
        output.many(&items, fingerprints.clone(), lines)
    }
}

impl Rm {
    async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        for fingerprint in &self.fingerprints {
            client.key_delete(&self.account.user, fingerprint).await?;
        }
        let gone = self.fingerprints;
        let lines = || gone.iter().map(|key| format!("{key} is gone\n")).collect();
        let items = json!({ "items": gone, "next": null });
        output.many(&items, gone.clone(), lines)
    }
}
