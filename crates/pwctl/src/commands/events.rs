use std::pin::pin;

use api::Event;
use clap::Args;
use futures_util::StreamExt;

use crate::args::Global;
use crate::complete;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "\
It goes on until the VM is gone, or Ctrl-C. With --json each event is a line of JSON.

Examples:
  pwctl events web
  pwctl events web --json")]
pub(crate) struct Events {
    /// Name or id
    #[arg(add = complete::vms())]
    vm: String,
}

impl Events {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        // By its id, since the name may be another's by the time the flow breaks and is joined again.
        let vm = client.vm_get(&self.vm).await?;
        let mut events = pin!(client.vm_events(&vm.id.to_string(), None));
        while let Some(received) = events.next().await {
            let event = received?.event;
            output.entry(&event, || line(&event))?;
            if event.kind == "deleted" {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// When, which VM, and what.
fn line(event: &Event) -> String {
    let mut words = vec![event.at.clone(), event.vm.to_string(), event.kind.clone()];
    words.extend(event.status.as_ref().map(ToString::to_string));
    words.extend(event.stage.as_ref().map(|stage| stage.what.clone()));
    words.extend(event.reason.as_ref().map(|reason| reason.message.clone()));
    words.join("  ") + "\n"
}
