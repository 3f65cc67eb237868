//! Removing a user or a team, which may own VMs.

use api::{Client, VmQuery};
use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::names::full_name;
use crate::output::Output;
use crate::terminal;

/// How it is to go.
#[derive(Debug, Args)]
pub(super) struct Removal {
    /// Who gets the VMs: a user or team
    #[arg(long, value_name = "WHO")]
    pub(super) transfer_to: Option<String>,
    /// Ask nothing
    #[arg(long, short)]
    yes: bool,
    /// Say what would go, and leave it
    #[arg(long)]
    dry_run: bool,
}

impl Removal {
    /// Whether the owner of this name is to be removed now: it was said, or a person says so.
    pub(super) async fn is_meant(
        &self,
        client: &Client,
        name: &str,
        output: &Output,
    ) -> Result<bool, Failure> {
        if self.yes && !self.dry_run {
            return Ok(true);
        }
        let query = VmQuery {
            owner: Some(name.to_owned()),
            ..VmQuery::default()
        };
        let vms: Vec<_> = client
            .vm_list_of(query)
            .await?
            .items
            .iter()
            .map(full_name)
            .collect();
        let heir = match (&self.transfer_to, vms.len()) {
            (Some(heir), 1..) => Some(heir.as_str()),
            (_, 0) => None,
            (None, count) => {
                let name = name.to_owned();
                return Err(Failure::StillOwns { name, count });
            }
        };
        if self.dry_run {
            let moves = || vms.iter().zip(heir.into_iter().cycle());
            let lines = moves().map(|(vm, heir)| format!("{vm} would be {heir}'s\n"));
            let text = || lines.chain([format!("{name} would go\n")]).collect();
            let items = json!({ "items": [name], "next": null });
            output.many(&items, vec![name.to_owned()], text)?;
            return Ok(false);
        }
        let question = match heir {
            Some(heir) => format!("Remove {name}, and give {} to {heir}?", vms.join(", ")),
            None => format!("Remove {name}?"),
        };
        match terminal::confirms(&question) {
            Some(true) => Ok(true),
            Some(false) => Err(Failure::Declined),
            None => Err(Failure::Unconfirmed {
                what: "a user or team is to be removed",
            }),
        }
    }
}
