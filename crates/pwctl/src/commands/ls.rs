use api::{Vm, VmQuery};
use clap::Args;
use jiff::Timestamp;

use crate::args::Global;
use crate::complete;
use crate::connect::connect;
use crate::failure::Failure;
use crate::names::short_names;
use crate::output::Output;
use crate::table::Column::{Elastic, Whole, Wide};
use crate::table::{Table, age, or_dash, size, status};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pwctl ls
  pwctl ls -o wide
  pwctl ls --status RUNNING --label tier=web -o name")]
pub(crate) struct Ls {
    /// Only those that have this label; repeatable, all must fit
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// Only those of this status, such as RUNNING
    #[arg(long)]
    status: Option<String>,
    /// Only those of this user or team
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Only those of this image
    #[arg(long, value_name = "REF", add = complete::images())]
    image: Option<String>,
    /// In this order: created_at, name, or one of them with - before it
    #[arg(long, value_name = "ORDER", allow_hyphen_values = true)]
    sort: Option<String>,
}

impl Ls {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let query = VmQuery {
            label: self.labels,
            status: self.status,
            owner: self.owner,
            image: self.image,
            sort: self.sort,
            ..VmQuery::default()
        };
        let list = connect(global)?.vm_list_of(query).await?;
        let names = || short_names(&list.items);
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
            vm.owner.as_str().into(),
            or_dash(vm.host.as_ref()).into(),
            vm.id.into(),
            vm.image.as_str().into(),
            age(&vm.created_at, now).into(),
        ]
    });
    let owners = match is_all_ones_own(vms) {
        true => Wide("OWNER"),
        false => Whole("OWNER"),
    };
    Table::new(
        [
            Whole("NAME"),
            Whole("STATUS"),
            Whole("ADDRESS"),
            Whole("CPUS"),
            Whole("MEMORY"),
            Wide("DISK"),
            owners,
            Wide("HOST"),
            Wide("ID"),
            Elastic("IMAGE"),
            Whole("AGE"),
        ],
        rows,
    )
}

/// Whether they are one owner's, and nobody else's who shares them.
fn is_all_ones_own(vms: &[Vm]) -> bool {
    let is_own = |vm: &Vm| vm.access.as_deref().is_none_or(|access| access == "own");
    let first = vms.first().map(|vm| &vm.owner);
    vms.iter().all(|vm| is_own(vm) && Some(&vm.owner) == first)
}
