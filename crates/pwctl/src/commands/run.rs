use std::convert::Infallible;
use std::io::IsTerminal;
use std::slice::from_ref;
use std::time::Duration;

use api::{Client, CreateService, CreateVm, Vm};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::create::Machine;
use super::exec::{self, Program};
use crate::args::Global;
use crate::complete;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{self, Setup};
use crate::ssh_config::{self, After};
use crate::wait::{self, Goal};

/// What a VM with --rm outlives a pwctl that vanished.
const LEASE: Duration = Duration::from_secs(60);
/// Three signs fit into it, so that one may get lost.
const SIGN_EVERY: Duration = Duration::from_secs(18);
/// Of a name that pwctl chooses.
const NAME_BYTES: usize = 5;

#[derive(Debug, Args)]
#[command(after_help = "\
The VM runs nothing but the command, over pitwall's own channel. On a terminal the command gets one too, and what is
typed; its exit status is passed on as exec does. Ctrl-C goes to the command. With --rm the VM goes when the command
ends; a second Ctrl-C that the command does not heed ends both.

Examples:
  pwctl run --rm debian:12 -- cat /etc/os-release
  pwctl run --name lab debian:12 -- uname -a")]
pub(crate) struct Run {
    /// As create takes it
    #[arg(value_name = "IMAGE", add = complete::images())]
    image: String,
    /// The VM's name [default: one of its own]
    #[arg(long)]
    name: Option<String>,
    /// Remove the VM when the command has ended
    #[arg(long)]
    rm: bool,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    program: Program,
    /// Stop waiting for the VM after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
}

impl Run {
    /// Gives the exit status.
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<u8, Failure> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => drawn()?,
        };
        let wish = CreateVm {
            service: Some(CreateService {
                enabled: Some(false),
                ..CreateService::default()
            }),
            lease_seconds: self.rm.then_some(LEASE.as_secs()),
            ..self.machine.wish(name, &self.image, global).await?
        };
        let client = connect(global)?;
        let vm = client.vm_create(&wish).await?;
        let ended = tokio::select! {
            ended = self.inside(&client, &vm, global, output) => ended,
            never = keep(&client, &vm), if self.rm => match never {},
        };
        if !(self.rm) {
            return ended;
        }
        let removed = client.vm_delete(&vm.id.to_string()).await;
        ssh_config::renew(global, &client, After::Removed(from_ref(&vm)), output).await;
        match removed {
            Err(error) if !error.is_not_found() => Err(ended.err().unwrap_or_else(|| error.into())),
            Ok(_) | Err(_) => ended,
        }
    }

    /// Waits for the VM and runs the command. Signals that would end pwctl end this, so that what follows is done.
    async fn inside(
        &self,
        client: &Client,
        vm: &Vm,
        global: &Global,
        output: &Output,
    ) -> Result<u8, Failure> {
        let listen = |kind| signal(kind).map_err(|source| Failure::Runtime { source });
        let (mut ends, mut hangs_up) = (listen(SignalKind::terminate())?, listen(SignalKind::hangup())?);
        let limit = Duration::from_secs(self.timeout);
        tokio::select! {
            waited = wait::until(client, vm, Goal::Running, limit, output) => waited.map(drop)?,
            _ = ends.recv() => return Err(Failure::Left),
            _ = hangs_up.recv() => return Err(Failure::Left),
        }
        if !self.rm {
            ssh_config::renew(global, client, After::Changed(from_ref(vm)), output).await;
        }
        let setup = self.program.setup();
        let wish = self.program.wish(setup.tty)?;
        let stream = client.vm_exec(&vm.id.to_string(), &wish).await?;
        let setup = Setup {
            impatient: self.rm,
            ..setup
        };
        let status = exec::status(session::run(stream, setup).await?);
        if !self.rm && std::io::stderr().is_terminal() {
            output.remark(&format!("{} goes on; remove it with: pwctl rm {0}", vm.name));
        }
        status
    }
}

/// Says again and again that this client is there. A sign that gets lost is made up for by the next.
async fn keep(client: &Client, vm: &Vm) -> Infallible {
    let id = vm.id.to_string();
    loop {
        tokio::time::sleep(SIGN_EVERY).await;
        let _ = client.vm_lease(&id).await;
    }
}

/// A name that nobody else chooses.
fn drawn() -> Result<String, Failure> {
    let mut bytes = [0; NAME_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| Failure::Random { source: error.into() })?;
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    Ok(format!("run-{}", digits.collect::<String>()))
}
