//! The host that a simulator stands for: its machines outlive the adapter, as processes outlive Pitwall.

use std::collections::HashMap;
use std::sync::Mutex;

use model::VmId;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::{Exit, MachineSpec, Observation, Recovered};

const FIRST_PID: u32 = 100_000;

struct Machine {
    spec: MachineSpec,
    pid: u32,
    ended: watch::Sender<Option<Exit>>,
    channel: Option<AbortHandle>,
    seat: Option<AbortHandle>,
    console: watch::Sender<String>,
}

#[derive(Default)]
struct State {
    machines: HashMap<VmId, Machine>,
    starts: u32,
}

/// All machines, by id.
#[derive(Default)]
pub(super) struct World(Mutex<State>);

impl World {
    /// Starts the machine unless it runs.
    pub(super) fn start(&self, spec: &MachineSpec) {
        self.with(|state| {
            if state
                .machines
                .get(&spec.id)
                .is_some_and(|machine| machine.ended.borrow().is_none())
            {
                return;
            }
            state.starts += 1;
            let machine = Machine {
                spec: spec.clone(),
                pid: FIRST_PID + state.starts,
                ended: watch::Sender::new(None),
                channel: None,
                seat: None,
                console: watch::Sender::new(format!("simulated console of {}, idle\n", spec.name)),
            };
            state.machines.insert(spec.id, machine);
        });
    }

    pub(super) fn observe(&self, id: VmId) -> Observation {
        self.with(|state| state.machines.get(&id).map_or(Observation::Absent, observation))
    }

    pub(super) fn all(&self) -> Vec<Recovered> {
        self.with(|state| {
            let found = state.machines.iter();
            found
                .map(|(&id, machine)| Recovered {
                    id,
                    observation: observation(machine),
                })
                .collect()
        })
    }

    pub(super) fn end_of(&self, id: VmId) -> Option<watch::Receiver<Option<Exit>>> {
        self.with(|state| state.machines.get(&id).map(|machine| machine.ended.subscribe()))
    }

    /// Ends a running machine; its channel breaks with it.
    pub(super) fn end(&self, id: VmId, exit: Exit) {
        self.with(|state| {
            let Some(machine) = state.machines.get_mut(&id) else {
                return;
            };
            for task in [machine.channel.take(), machine.seat.take()]
                .into_iter()
                .flatten()
            {
                task.abort();
            }
            let exit = Exit {
                console_tail: machine.console.borrow().clone(),
                ..exit
            };
            machine.ended.send_if_modified(|ended| {
                let first = ended.is_none();
                if first {
                    *ended = Some(exit);
                }
                first
            });
        });
    }

    /// Remembers who carries a running machine's channel and cuts off the one before. False if it does not run.
    pub(super) fn connect(&self, id: VmId, channel: AbortHandle) -> bool {
        self.with(|state| match state.machines.get_mut(&id) {
            Some(machine) if machine.ended.borrow().is_none() => {
                if let Some(before) = machine.channel.replace(channel) {
                    before.abort();
                }
                true
            }
            Some(_) | None => false,
        })
    }

    pub(super) fn remove(&self, id: VmId) {
        self.end(
            id,
            Exit {
                signal: Some(9),
                ..Exit::default()
            },
        );
        self.with(|state| state.machines.remove(&id));
    }

    pub(super) fn forget(&self) {
        self.with(|state| {
            for (_, machine) in state.machines.drain() {
                for task in [machine.channel, machine.seat].into_iter().flatten() {
                    task.abort();
                }
                machine.ended.send_replace(Some(Exit::default()));
            }
        });
    }

    pub(super) fn console(&self, id: VmId) -> String {
        self.with(|state| {
            state
                .machines
                .get(&id)
                .map(|machine| machine.console.borrow().clone())
                .unwrap_or_default()
        })
    }

    /// What a running machine prints; `None` if it does not run.
    pub(super) fn printed(&self, id: VmId) -> Option<watch::Receiver<String>> {
        self.with(|state| {
            let machine = state.machines.get(&id)?;
            let runs = machine.ended.borrow().is_none();
            runs.then(|| machine.console.subscribe())
        })
    }

    /// Remembers who serves the console's seat and cuts off the one before.
    pub(super) fn sit(&self, id: VmId, seat: AbortHandle) {
        self.with(|state| {
            let before = match state.machines.get_mut(&id) {
                Some(machine) if machine.ended.borrow().is_none() => machine.seat.replace(seat),
                Some(_) | None => Some(seat),
            };
            if let Some(before) = before {
                before.abort();
            }
        });
    }

    pub(super) fn print(&self, id: VmId, text: &str) {
        self.with(|state| {
            if let Some(machine) = state.machines.get_mut(&id) {
                machine.console.send_modify(|console| console.push_str(text));
            }
        });
    }

    pub(super) fn spec(&self, id: VmId) -> Option<MachineSpec> {
        self.with(|state| state.machines.get(&id).map(|machine| machine.spec.clone()))
    }

    pub(super) fn starts(&self) -> u32 {
        self.with(|state| state.starts)
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

fn observation(machine: &Machine) -> Observation {
    match machine.ended.borrow().as_ref() {
        Some(exit) => Observation::Ended(exit.clone()),
        None => Observation::Running {
            pid: Some(machine.pid),
        },
    }
}
