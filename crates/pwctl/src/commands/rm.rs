use std::time::Duration;

use api::{Client, Vm};
use clap::Args;
use serde_json::json;

use crate::args::{Global, Waiting};
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::wait::{self, Goal};

#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Names or ids
    #[arg(required = true, value_name = "NAME")]
    vms: Vec<String>,
    /// What is not there is no failure
    #[arg(long)]
    ignore_missing: bool,
    #[command(flatten)]
    waiting: Waiting,
}

impl Rm {
    /// Asks for all of them first, so that they go at the same time; the first failure is told at the end.
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        let mut going = Vec::new();
        let mut failure = None;
        for vm in &self.vms {
            match client.vm_delete(vm).await {
                Ok(vm) => going.push(vm),
                Err(error) if error.is_not_found() && self.ignore_missing => {}
                Err(error) => failure = failure.or(Some(Failure::from(error))),
            }
        }
        let mut removed = Vec::new();
        for vm in going {
            match self.finish(&client, &vm, output).await {
                Ok(()) => removed.push(vm.name),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let word = if self.waiting.no_wait { "going" } else { "gone" };
        output.result(&json!({ "items": removed, "next": null }), || {
            match output.is_quiet() {
                true => removed.iter().map(|name| format!("{name}\n")).collect(),
                false => removed.iter().map(|name| format!("{name} is {word}\n")).collect(),
            }
        })?;
        failure.map_or(Ok(()), Err)
    }

    async fn finish(&self, client: &Client, vm: &Vm, output: &Output) -> Result<(), Failure> {
        if self.waiting.no_wait {
            return Ok(());
        }
        let limit = Duration::from_secs(self.waiting.timeout);
        wait::until(client, vm, Goal::Gone, limit, output.talk())
            .await
            .map(drop)
    }
}
