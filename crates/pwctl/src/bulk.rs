//! The same asked of several VMs: of all of them first, so that they go on side by side, then waited for in turn. What
//! fails for one keeps none of the others back.

use std::time::Duration;

use api::{Client, ClientError, Vm, VmQuery};
use clap::Args;
use serde_json::json;

use crate::args::Waiting;
use crate::complete;
use crate::failure::Failure;
use crate::names::short_names;
use crate::output::Output;
use crate::terminal;
use crate::wait::{self, Goal};

/// Which VMs are meant.
#[derive(Debug, Args)]
pub(crate) struct Vms {
    /// Names or ids
    #[arg(required_unless_present_any = ["all", "labels"], value_name = "NAME", add = complete::vms())]
    names: Vec<String>,
    /// All VMs there are
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Those that have this label; repeatable, all must fit
    #[arg(long = "label", value_name = "NAME=VALUE", conflicts_with_all = ["names", "all"])]
    labels: Vec<String>,
}

impl Vms {
    /// Whether they were named one by one.
    pub(crate) fn is_named(&self) -> bool {
        !self.all && self.labels.is_empty()
    }

    /// Whether one VM is meant, so that the result is that VM and no list.
    fn is_one(&self) -> bool {
        self.is_named() && self.names.len() == 1
    }

    /// As they are to be asked for.
    pub(crate) async fn meant(&self, client: &Client) -> Result<Vec<String>, Failure> {
        if self.is_named() {
            return Ok(self.names.clone());
        }
        let query = VmQuery {
            label: self.labels.clone(),
            ..VmQuery::default()
        };
        let vms = client.vm_list_of(query).await?.items;
        // By their ids: names may be several people's.
        Ok(vms.into_iter().map(|vm| vm.id.to_string()).collect())
    }
}

/// Asks a person whether that is meant for those that are there, and gives these, and what was not there as failures. `what`
/// says it to one who cannot be asked. Where one cannot be looked at, nobody is asked and nothing is meant.
pub(crate) async fn confirm(
    client: &Client,
    vms: &[String],
    question: impl Fn(&str) -> String,
    what: &'static str,
) -> Result<Done, Failure> {
    let mut there = Done::ask(vms, async |vm| client.vm_get(vm).await).await;
    let is_hidden = |failure: &Failure| !is_not_found(failure);
    if there.failures.iter().any(is_hidden) {
        there.failures.retain(is_hidden);
        there.outcome()?;
        return Ok(Done::default());
    }
    if there.vms.is_empty() {
        return Ok(there);
    }
    match terminal::confirms(&question(&short_names(&there.vms).join(", "))) {
        Some(true) => Ok(there),
        Some(false) => Err(Failure::Declined),
        None => Err(Failure::Unconfirmed { what }),
    }
}

/// Whether the server knows no such VM.
pub(crate) fn is_not_found(failure: &Failure) -> bool {
    matches!(failure, Failure::Client(error) if error.is_not_found())
}

/// What became of it.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) vms: Vec<Vm>,
    failures: Vec<Failure>,
}

impl Done {
    /// Asks for it, VM by VM.
    pub(crate) async fn ask(names: &[String], ask: impl AsyncFn(&str) -> Result<Vm, ClientError>) -> Self {
        let mut done = Self::default();
        for name in names {
            match ask(name).await {
                Ok(vm) => done.vms.push(vm),
                Err(error) => done.failures.push(error.into()),
            }
        }
        done
    }

    /// Asks for the next thing, of those that it went well with. They are named by their ids: a name may be another VM's by
    /// now.
    pub(crate) async fn then(self, ask: impl AsyncFn(&str) -> Result<Vm, ClientError>) -> Self {
        let ids: Vec<_> = self.vms.iter().map(|vm| vm.id.to_string()).collect();
        let mut done = Self::ask(&ids, ask).await;
        done.failures.splice(..0, self.failures);
        done
    }

    /// Forgets failures that are none.
    pub(crate) fn forgive(mut self, is_none: impl Fn(&Failure) -> bool) -> Self {
        self.failures.retain(|failure| !is_none(failure));
        self
    }

    /// Waits until all are at the goal. Those that are gone stay as they were last.
    pub(crate) async fn wait(self, client: &Client, goal: Goal, waiting: Waiting, output: &Output) -> Self {
        self.wait_for(client, |_| goal, waiting, output).await
    }

    /// The same where each VM has a goal of its own.
    pub(crate) async fn wait_for(
        self,
        client: &Client,
        goal: impl Fn(&Vm) -> Goal,
        waiting: Waiting,
        output: &Output,
    ) -> Self {
        if waiting.no_wait {
            return self;
        }
        let mut done = Self {
            vms: Vec::new(),
            failures: self.failures,
        };
        for vm in self.vms {
            let limit = Duration::from_secs(waiting.timeout);
            match wait::until(client, &vm, goal(&vm), limit, output).await {
                Ok(seen) => done.vms.push(seen.unwrap_or(vm)),
                Err(failure) => done.failures.push(failure),
            }
        }
        done
    }

    /// Prints each VM's line, then says what failed.
    pub(crate) fn tell(self, of: &Vms, output: &Output, line: impl Fn(&Vm) -> String) -> Result<(), Failure> {
        let names = self.vms.iter().map(|vm| vm.name.clone()).collect();
        let text = || self.vms.iter().map(&line).collect::<String>();
        match (of.is_one(), self.vms.first()) {
            (true, Some(vm)) => output.one(vm, &vm.name, text)?,
            (true, None) => {}
            (false, _) => output.many(&json!({ "items": self.vms, "next": null }), names, text)?,
        }
        self.outcome()
    }

    /// What failed, all of it.
    pub(crate) fn outcome(mut self) -> Result<(), Failure> {
        match (self.failures.len(), self.failures.pop()) {
            (_, None) => Ok(()),
            (1, Some(failure)) => Err(failure),
            (_, Some(last)) => {
                self.failures.push(last);
                Err(Failure::Several {
                    failures: self.failures,
                })
            }
        }
    }
}
