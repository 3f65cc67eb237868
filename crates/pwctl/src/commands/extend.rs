use api::ExtendVm;
use clap::Args;

use crate::args::Global;
use crate::complete;
use crate::connect::connect;
use crate::duration::seconds;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::or_dash;

#[derive(Debug, Args)]
#[command(after_help = "\
The time is added to what it has left, or counts from now where that is over. One that is off stays off.

Example:
  pwctl extend web 8h")]
pub(crate) struct Extend {
    /// Name or id
    #[arg(add = complete::vms())]
    vm: String,
    /// How much longer it lives, such as 8h or 7d
    #[arg(value_name = "DURATION", value_parser = seconds)]
    by: u64,
}

impl Extend {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let wish = ExtendVm { seconds: self.by };
        let vm = connect(global)?.vm_extend(&self.vm, &wish).await?;
        output.one(&vm, &vm.name, || {
            format!("{} lives until {}\n", vm.name, or_dash(vm.expires_at.as_ref()))
        })
    }
}
