use std::time::Duration;

use api::{Client, Vm};
use clap::Args;

use crate::args::{Global, Waiting};
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::wait::{self, Goal};

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Name or id
    vm: String,
    #[command(flatten)]
    waiting: Waiting,
}

impl Start {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        let asked = client.vm_start(&self.vm).await?;
        settle(&client, asked, Goal::Running, self.waiting, output).await
    }
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// Name or id
    vm: String,
    #[command(flatten)]
    waiting: Waiting,
}

impl Stop {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        let asked = client.vm_stop(&self.vm).await?;
        settle(&client, asked, Goal::Stopped, self.waiting, output).await
    }
}

async fn settle(
    client: &Client,
    asked: Vm,
    goal: Goal,
    waiting: Waiting,
    output: &Output,
) -> Result<(), Failure> {
    let vm = match waiting.no_wait {
        true => asked,
        false => {
            let limit = Duration::from_secs(waiting.timeout);
            wait::until(client, &asked, goal, limit, output.talk())
                .await?
                .unwrap_or(asked)
        }
    };
    output.result(&vm, || match output.is_quiet() {
        true => format!("{}\n", vm.name),
        false => format!("{} is {}\n", vm.name, vm.status),
    })
}
