use api::Vm;
use clap::Args;

use crate::args::Global;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{or_dash, pairs, size};

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Name or id
    vm: String,
}

impl Get {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let vm = connect(global)?.vm_get(&self.vm).await?;
        output.result(&vm, || text(&vm))
    }
}

fn text(vm: &Vm) -> String {
    let mut lines = vec![
        ("name", vm.name.clone()),
        ("id", vm.id.to_string()),
        ("status", vm.status.to_string()),
    ];
    if let Some(reason) = &vm.reason {
        lines.push(("reason", format!("{}: {}", reason.code, reason.message)));
        lines.push(("next", reason.hint.clone()));
    }
    if let Some(stage) = &vm.stage {
        lines.push(("stage", stage.what.clone()));
    }
    lines.extend([
        ("image", vm.image.clone()),
        ("digest", or_dash(vm.image_digest.as_ref())),
        ("cpus", vm.cpus.to_string()),
        ("memory", size(vm.memory_bytes)),
        ("disk", size(vm.disk_bytes)),
        ("power", vm.power.clone()),
        ("host", or_dash(vm.host.as_ref())),
        ("address", or_dash(vm.address.as_ref())),
        ("host key", or_dash(vm.host_key.as_ref())),
        ("created", vm.created_at.clone()),
        ("ssh", or_dash(vm.ssh.as_ref())),
    ]);
    pairs(&lines)
}
