use std::slice::from_ref;

use std::time::Duration;

use api::{Adopt, Client, FoundList, FoundVm};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::args::{Global, Waiting};
use crate::complete;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::ssh_config::{self, After};
use crate::table::Column::{Elastic, Whole};
use crate::table::{Table, or_dash, size, status};
use crate::wait::{self, Goal};

#[derive(Debug, Subcommand)]
pub(crate) enum Host {
    /// List hosts
    #[command(after_help = "Example:\n  pwctl host ls")]
    Ls,
    /// List the VMs that hosts hold and nobody here asked for; they keep running until you decide
    Found(Found),
    /// Take a found VM over, as it runs
    Adopt(AdoptVm),
    /// Remove a found VM from its host, disk and all
    Rm(RemoveFound),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pwctl host found")]
pub(crate) struct Found {
    /// Name or id [default: all hosts]
    #[arg(add = complete::hosts())]
    host: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AdoptVm {
    /// Id, or the name it was made under
    vm: String,
    /// The name it gets [default: the one it was made under]
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveFound {
    /// Id, or the name it was made under
    vm: String,
    #[command(flatten)]
    waiting: Waiting,
}

impl Host {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        match self {
            Self::Ls => list(&client, output).await,
            Self::Found(found) => {
                let items = found_on(&client, found.host.as_deref()).await?;
                let list = FoundList { items, next: None };
                let ids = || list.items.iter().map(|vm| vm.id.to_string()).collect();
                output.list(&list, ids, || found_table(&list.items))
            }
            Self::Adopt(adopt) => adopt.run(global, &client, output).await,
            Self::Rm(remove) => remove.run(&client, output).await,
        }
    }
}

impl AdoptVm {
    async fn run(self, global: &Global, client: &Client, output: &Output) -> Result<(), Failure> {
        let found = find(client, &self.vm).await?;
        let wish = Adopt { name: self.name };
        let vm = client
            .host_found_adopt(&found.host, &found.id.to_string(), &wish)
            .await?;
        ssh_config::renew(global, client, After::Changed(from_ref(&vm)), output).await;
        output.one(&vm, &vm.name, || {
            format!("{} is adopted and {}\n", vm.name, vm.status)
        })
    }
}

impl RemoveFound {
    async fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let found = find(client, &self.vm).await?;
        let id = found.id.to_string();
        client.host_found_delete(&found.host, &id).await?;
        if !self.waiting.no_wait {
            // From here on it is a VM that is being removed, until it is gone.
            match client.vm_get(&id).await {
                Ok(vm) => {
                    let limit = Duration::from_secs(self.waiting.timeout);
                    wait::until(client, &vm, Goal::Gone, limit, output).await?;
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let word = if self.waiting.no_wait { "going" } else { "gone" };
        output.many(&json!({ "items": [id], "next": null }), vec![id.clone()], || {
            format!("{id} is {word}\n")
        })
    }
}

async fn found_on(client: &Client, host: Option<&str>) -> Result<Vec<FoundVm>, Failure> {
    if let Some(host) = host {
        return Ok(client.host_found_list(host).await?.items);
    }
    let mut items = Vec::new();
    for host in client.host_list().await?.items {
        items.extend(client.host_found_list(&host.id.to_string()).await?.items);
    }
    Ok(items)
}

async fn find(client: &Client, vm: &str) -> Result<FoundVm, Failure> {
    let found = found_on(client, None).await?;
    let is_meant = |found: &FoundVm| found.id.to_string() == vm || found.name.as_deref() == Some(vm);
    let mut meant = found.into_iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => Err(Failure::Ambiguous { vm: vm.to_owned() }),
        (None, _) => Err(Failure::NotFoundAnywhere { vm: vm.to_owned() }),
    }
}

async fn list(client: &Client, output: &Output) -> Result<(), Failure> {
    let list = client.host_list().await?;
    let names = || list.items.iter().map(|host| host.name.clone()).collect();
    let of = |booked: String, capacity: String| format!("{booked}/{capacity}").into();
    output.list(&list, names, || {
        let rows = list.items.iter().map(|host| {
            let (booked, capacity) = (&host.booked, &host.capacity);
            [
                host.name.as_str().into(),
                host.status.as_str().into(),
                host.vms.into(),
                host.found.into(),
                of(booked.cpus.to_string(), capacity.cpus.to_string()),
                of(size(booked.memory_bytes), size(capacity.memory_bytes)),
                of(size(booked.disk_bytes), size(capacity.disk_bytes)),
                or_dash(host.problem.as_ref()).into(),
            ]
        });
        Table::new(
            [
                Whole("NAME"),
                Whole("STATUS"),
                Whole("VMS"),
                Whole("FOUND"),
                Whole("CPUS"),
                Whole("MEMORY"),
                Whole("DISK"),
                Elastic("PROBLEM"),
            ],
            rows,
        )
    })
}

fn found_table(found: &[FoundVm]) -> Table {
    let rows = found.iter().map(|vm| {
        [
            vm.id.into(),
            or_dash(vm.name.as_ref()).into(),
            vm.host.as_str().into(),
            status(&vm.status),
            or_dash(vm.address.as_ref()).into(),
            or_dash(vm.image.as_ref()).into(),
        ]
    });
    Table::new(
        [
            Whole("ID"),
            Whole("NAME"),
            Whole("HOST"),
            Whole("STATUS"),
            Whole("ADDRESS"),
            Elastic("IMAGE"),
        ],
        rows,
    )
}
