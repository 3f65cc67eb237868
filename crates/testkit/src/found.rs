//! VMs that hosts hold and that nobody here asked for.

use api::CreateVm;
use model::Status;

use crate::{Cloud, Fault, until};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN01b3hosV/xotUftL4DrHvZQ+L4cgFDuAKjFLIxlnmu me";

impl Cloud {
    /// Makes VMs `found-0`, `found-1`, … and puts back the database as it was before, so that they are found. Tokens
    /// from before are good for nothing any more.
    ///
    /// # Errors
    /// Something does not start, or takes too long.
    pub async fn find(&mut self, count: usize) -> Result<(), Fault> {
        self.end().await;
        let (database, before) = (self.database(), self.database().with_extension("before"));
        std::fs::copy(&database, &before)?;
        self.begin().await?;
        let client = self.client()?.clone();
        for number in 0..count {
            let wish = CreateVm {
                name: format!("found-{number}"),
                image: "debian:12".to_owned(),
                keys: vec![KEY.to_owned()],
                ..CreateVm::default()
            };
            let vm = client.vm_create(&wish).await?.id.to_string();
            let runs = |vm: &api::Vm| vm.status.known() == Some(Status::Running);
            until("the VM runs", || client.vm_get(&vm), runs).await?;
        }
        self.end().await;
        std::fs::rename(&before, &database)?;
        self.begin().await?;
        let client = self.client()?.clone();
        let found = |hosts: &api::HostList| hosts.items.iter().map(|host| host.found).sum::<u64>();
        until(
            "all are found",
            || client.host_list(),
            |hosts| found(hosts) == count as u64,
        )
        .await?;
        Ok(())
    }
}
