use api::Vm;
use clap::Args;
use jiff::Timestamp;

use crate::args::Global;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::Column::{Elastic, Whole, Wide};
use crate::table::{Table, age, or_dash, size, status};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pwctl ls
  pwctl ls -o wide
  pwctl ls -o name")]
pub(crate) struct Ls {}

impl Ls {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let list = connect(global)?.vm_list().await?;
        let names = || list.items.iter().map(|vm| vm.name.clone()).collect();
        output.list(&list, names, || table(&list.items, Timestamp::now()))
    }
}

fn table(vms: &[Vm], now: Timestamp) -> Table {
    let rows = vms.iter().map(|vm| {
        [
            vm.name.as_str().into(),
            status(&vm.status),
            or_dash(vm.address.as_ref()).into(),
            vm.cpus.into(),
            size(vm.memory_bytes).into(),
            size(vm.disk_bytes).into(),
            or_dash(vm.host.as_ref()).into(),
            vm.id.into(),
            vm.image.as_str().into(),
            age(&vm.created_at, now).into(),
        ]
    });
    Table::new(
        [
            Whole("NAME"),
            Whole("STATUS"),
            Whole("ADDRESS"),
            Whole("CPUS"),
            Whole("MEMORY"),
            Wide("DISK"),
            Wide("HOST"),
            Wide("ID"),
            Elastic("IMAGE"),
            Whole("AGE"),
        ],
        rows,
    )
}
