use std::slice::from_ref;

use api::client::all_pages;
use api::{Client, PutShare, Share as ApiShare, Transfer as ApiTransfer};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use crate::args::Global;
use crate::complete;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::ssh_config::{self, After};
use crate::table::Column::{Whole, Wide};
use crate::table::{Table, age};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Whoever a VM is shared with sees it, signs in with their keys, runs commands and copies files. With --manage they may also
start, stop, restart, resize, rebuild and change it.

Examples:
  pwctl share web ann
  pwctl share web ops --manage
  pwctl share ls web"
)]
pub(crate) struct Share {
    #[command(subcommand)]
    command: Option<ShareCommand>,
    /// Name or id
    #[arg(required = true, add = complete::vms())]
    vm: Option<String>,
    /// A user or team, by its exact name or its id
    #[arg(required = true)]
    who: Option<String>,
    /// Let them manage it too
    #[arg(long)]
    manage: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ShareCommand {
    /// List with whom a VM is shared
    #[command(visible_alias = "list", after_help = "Example:\n  pwctl share ls web")]
    Ls(Ls),
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Name or id
    #[arg(add = complete::vms())]
    vm: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What they have open on it ends, unless they may use it otherwise.

Example:
  pwctl unshare web ann")]
pub(crate) struct Unshare {
    /// Name or id
    #[arg(add = complete::vms())]
    vm: String,
    /// The user or team
    who: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
It counts for the new owner's quota from then on, and the keys of the new owner's account open it.

Example:
  pwctl transfer web ops")]
pub(crate) struct Transfer {
    /// Name or id
    #[arg(add = complete::vms())]
    vm: String,
    /// A user or team, by its exact name or its id
    who: String,
}

impl Share {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        if let Some(ShareCommand::Ls(ls)) = self.command {
            return list(&client, &ls.vm, output).await;
        }
        let (vm, who) = (self.vm.unwrap_or_default(), self.who.unwrap_or_default());
        let right = if self.manage { "manage" } else { "use" };
        let wish = PutShare {
            right: right.to_owned(),
        };
        let share = client.vm_share_put(&vm, &who, &wish).await?;
        output.one(&share, &share.principal, || {
            format!("{} may {} {vm}\n", share.principal, share.right)
        })
    }
}

impl Unshare {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        client.vm_share_delete(&self.vm, &self.who).await?;
        let items = json!({ "items": [self.who], "next": null });
        output.many(&items, vec![self.who.clone()], || {
            format!("{} is not shared with {} any more\n", self.vm, self.who)
        })
    }
}

impl Transfer {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        let vm = client
            .vm_transfer(&self.vm, &ApiTransfer { to: self.who })
            .await?;
        ssh_config::renew(global, &client, After::Changed(from_ref(&vm)), output).await;
        output.one(&vm, &vm.name, || format!("{} is {}'s now\n", vm.name, vm.owner))
    }
}

async fn list(client: &Client, vm: &str, output: &Output) -> Result<(), Failure> {
    let list = all_pages(async |page| client.vm_share_list(vm, &page).await).await?;
    let names = || list.items.iter().map(|share| share.principal.clone()).collect();
    output.list(&list, names, || table(&list.items))
}

fn table(shares: &[ApiShare]) -> Table {
    let now = Timestamp::now();
    let rows = shares.iter().map(|share| {
        [
            share.principal.clone().into(),
            share.right.clone().into(),
            age(&share.added_at, now).into(),
            share.principal_id.into(),
        ]
    });
    Table::new([Whole("WHO"), Whole("MAY"), Whole("SINCE"), Wide("ID")], rows)
}
