use std::pin::pin;

use api::client::Received;
use api::{ClientError, Event};
use clap::Args;
use futures_util::{Stream, StreamExt};

use crate::args::Global;
use crate::complete;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "\
Of one VM all that is kept is told first, and it goes on until the VM is gone, or Ctrl-C; of all it begins now. With --json
each event is a line of JSON.

Examples:
  pwctl events
  pwctl events web
  pwctl events web --json")]
pub(crate) struct Events {
    /// Name or id [default: all that you may see]
    #[arg(add = complete::vms())]
    vm: Option<String>,
}

impl Events {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        let Some(name) = &self.vm else {
            return tell(client.event_list(None), output, |_| false).await;
        };
        // By its id, since the name may be another's by the time the flow breaks and is joined again.
        let vm = client.vm_get(name).await?;
        let is_last = |event: &Event| event.kind == "deleted";
        tell(client.vm_events(&vm.id.to_string(), None), output, is_last).await
    }
}

async fn tell(
    events: impl Stream<Item = Result<Received, ClientError>>,
    output: &Output,
    is_last: impl Fn(&Event) -> bool,
) -> Result<(), Failure> {
    let mut events = pin!(events);
    while let Some(received) = events.next().await {
        let event = received?.event;
        output.entry(&event, || line(&event))?;
        if is_last(&event) {
            break;
        }
    }
    Ok(())
}

/// When, which VM, and what.
fn line(event: &Event) -> String {
    let mut words = vec![event.at.clone(), event.vm.to_string(), event.kind.clone()];
    words.extend(event.status.as_ref().map(ToString::to_string));
    words.extend(event.stage.as_ref().map(|stage| stage.what.clone()));
    words.extend(event.ending.as_ref().map(|why| ending(why, event.seconds)));
    words.extend(event.reason.as_ref().map(|reason| reason.message.clone()));
    words.join("  ") + "\n"
}

/// Why it will be stopped, and when.
fn ending(why: &str, seconds: Option<u64>) -> String {
    let why = why.replace('_', " ");
    seconds.map_or_else(|| why.clone(), |seconds| format!("{why}, in {seconds}s"))
}
