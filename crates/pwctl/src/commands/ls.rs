use api::Vm;
use clap::Args;

use crate::args::Global;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{columns, or_dash, size};

#[derive(Debug, Args)]
pub(crate) struct Ls {}

impl Ls {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let list = connect(global)?.vm_list().await?;
        output.result(&list, || match output.is_quiet() {
            true => list.items.iter().map(|vm| format!("{}\n", vm.name)).collect(),
            false => table(&list.items),
        })
    }
}

fn table(vms: &[Vm]) -> String {
    let head = [
        "NAME", "STATUS", "ADDRESS", "CPUS", "MEMORY", "DISK", "HOST", "IMAGE",
    ];
    let rows = vms.iter().map(|vm| {
        vec![
            vm.name.clone(),
            vm.status.to_string(),
            or_dash(vm.address.as_ref()),
            vm.cpus.to_string(),
            size(vm.memory_bytes),
            size(vm.disk_bytes),
            or_dash(vm.host.as_ref()),
            vm.image.clone(),
        ]
    });
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned).to_vec())
        .chain(rows)
        .collect();
    columns(&rows)
}
