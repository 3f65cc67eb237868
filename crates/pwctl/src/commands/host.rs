use std::time::Duration;

use api::{Adopt, Client, FoundList, FoundVm};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::args::{Global, Waiting};
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{columns, or_dash, size};
use crate::wait::{self, Goal};

#[derive(Debug, Subcommand)]
pub(crate) enum Host {
    /// List hosts
    Ls,
    /// List the VMs that hosts hold and nobody here asked for; they keep running until you decide
    Found(Found),
    /// Take a found VM over, as it runs
    Adopt(AdoptVm),
    /// Remove a found VM from its host, disk and all
    Rm(RemoveFound),
}

#[derive(Debug, Args)]
pub(crate) struct Found {
    /// Name or id [default: all hosts]
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
                output.result(&list, || found_table(&list.items, output))
            }
            Self::Adopt(adopt) => adopt.run(&client, output).await,
            Self::Rm(remove) => remove.run(&client, output).await,
        }
    }
}

impl AdoptVm {
    async fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let found = find(client, &self.vm).await?;
        let wish = Adopt { name: self.name };
        let vm = client
            .host_found_adopt(&found.host, &found.id.to_string(), &wish)
            .await?;
        output.result(&vm, || format!("{} is adopted and {}\n", vm.name, vm.status))
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
                    wait::until(client, &vm, Goal::Gone, limit, output.talk()).await?;
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let word = if self.waiting.no_wait { "going" } else { "gone" };
        output.result(&json!({ "items": [id], "next": null }), || {
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
    output.result(&list, || {
        if output.is_quiet() {
            return list.items.iter().map(|host| format!("{}\n", host.name)).collect();
        }
        let head = [
            "NAME", "STATUS", "VMS", "FOUND", "CPUS", "MEMORY", "DISK", "PROBLEM",
        ];
        let rows = list.items.iter().map(|host| {
            vec![
                host.name.clone(),
                host.status.clone(),
                host.vms.to_string(),
                host.found.to_string(),
                format!("{}/{}", host.booked.cpus, host.capacity.cpus),
                format!(
                    "{}/{}",
                    size(host.booked.memory_bytes),
                    size(host.capacity.memory_bytes)
                ),
                format!(
                    "{}/{}",
                    size(host.booked.disk_bytes),
                    size(host.capacity.disk_bytes)
                ),
                or_dash(host.problem.as_ref()),
            ]
        });
        columns(
            &std::iter::once(head.map(str::to_owned).to_vec())
                .chain(rows)
                .collect::<Vec<_>>(),
        )
    })
}

fn found_table(found: &[FoundVm], output: &Output) -> String {
    if output.is_quiet() {
        return found.iter().map(|vm| format!("{}\n", vm.id)).collect();
    }
    let head = ["ID", "NAME", "HOST", "STATUS", "ADDRESS", "IMAGE"];
    let rows = found.iter().map(|vm| {
        vec![
            vm.id.to_string(),
            or_dash(vm.name.as_ref()),
            vm.host.clone(),
            vm.status.to_string(),
            or_dash(vm.address.as_ref()),
            or_dash(vm.image.as_ref()),
        ]
    });
    columns(
        &std::iter::once(head.map(str::to_owned).to_vec())
            .chain(rows)
            .collect::<Vec<_>>(),
    )
}
