use std::io::IsTerminal;

use api::ConsoleQuery;
use api::frame::End;
use clap::Args;

use super::exec::by_signal;
use crate::args::Global;
use crate::complete;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{self, Ended, Setup, Stdin};

#[derive(Debug, Args)]
#[command(after_help = "\
Leave it with Ctrl-], or with ~. on a new line; the VM goes on.

Examples:
  pwctl console web
  pwctl console web --read-only > boot.log")]
pub(crate) struct Console {
    /// Name or id
    #[arg(add = complete::vms())]
    vm: String,
    /// Look only; leave with Ctrl-C
    #[arg(long)]
    read_only: bool,
}

impl Console {
    /// Gives the exit status.
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<u8, Failure> {
        let query = ConsoleQuery {
            read_only: self.read_only,
        };
        let stream = connect(global)?.vm_console(&self.vm, &query).await?;
        let way_out = match self.read_only {
            true => "leave with Ctrl-C",
            false => "leave with Ctrl-] or with ~. on a new line",
        };
        output.remark(&format!("the console of {}; {way_out}", self.vm));
        let on_terminal = std::io::stdin().is_terminal();
        let raw = on_terminal && !self.read_only;
        let setup = Setup {
            input: if self.read_only {
                Stdin::Unsaid
            } else {
                Stdin::Passed
            },
            tty: false,
            raw,
            signals: false,
            escapes: on_terminal,
            impatient: false,
        };
        let ended = session::run(stream, setup).await;
        if raw {
            // The VM's last line may have no end.
            output.remark("");
        }
        match ended? {
            Ended::Left | Ended::Unread | Ended::Stream(End::Done | End::Exited(_) | End::Killed(_)) => Ok(0),
            Ended::Signalled(signal) => Ok(by_signal(signal)),
            Ended::Stream(End::Failed { code, message }) => Err(Failure::stream(code, message)),
        }
    }
}
