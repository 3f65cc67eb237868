//! What a simulator was told to do wrong, and when.

use std::sync::Mutex;

use tokio::sync::Notify;

use crate::DriverError;

/// A verb of the port, as something to fail or hang at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// [`crate::Driver::probe`]
    Probe,
    /// [`crate::Driver::ensure`]
    Ensure,
    /// [`crate::Driver::observe`]
    Observe,
    /// [`crate::Driver::control`]
    Control,
    /// [`crate::Driver::stop`]
    Stop,
    /// [`crate::Driver::destroy`]
    Destroy,
    /// [`crate::Driver::recover`]
    Recover,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Ensure => "ensure",
            Self::Observe => "observe",
            Self::Control => "control",
            Self::Stop => "stop",
            Self::Destroy => "destroy",
            Self::Recover => "recover",
        }
    }
}

#[derive(Debug, Default)]
struct Orders {
    hang_at: Vec<Step>,
    fail_at: Vec<Step>,
    fail_in: Option<usize>,
    hang_in: Option<usize>,
    taken: usize,
    hang_behind: Vec<Step>,
    hang_behind_in: Option<usize>,
    done: usize,
}

/// Whether the count was at 0, which ends it.
fn counted_down(count: &mut Option<usize>) -> bool {
    match count {
        Some(0) => {
            *count = None;
            true
        }
        Some(left) => {
            *left -= 1;
            false
        }
        None => false,
    }
}

/// Orders, and the bell that wakes those who hang.
#[derive(Debug, Default)]
pub(super) struct Script {
    orders: Mutex<Orders>,
    released: Notify,
}

impl Script {
    pub(super) fn hang_at(&self, step: Step) {
        self.with(|orders| orders.hang_at.push(step));
    }

    pub(super) fn fail_at(&self, step: Step) {
        self.with(|orders| orders.fail_at.push(step));
    }

    pub(super) fn fail_in(&self, steps: usize) {
        self.with(|orders| orders.fail_in = Some(steps));
    }

    pub(super) fn hang_in(&self, steps: usize) {
        self.with(|orders| orders.hang_in = Some(steps));
    }

    pub(super) fn hang_behind(&self, steps: usize) {
        self.with(|orders| orders.hang_behind_in = Some(steps));
    }

    pub(super) fn release(&self) {
        self.with(|orders| {
            *orders = Orders {
                taken: orders.taken,
                done: orders.done,
                ..Orders::default()
            }
        });
        self.released.notify_waiters();
    }

    pub(super) fn steps_taken(&self) -> usize {
        self.with(|orders| orders.taken)
    }

    pub(super) fn steps_done(&self) -> usize {
        self.with(|orders| orders.done)
    }

    /// Called at the head of each verb.
    pub(super) async fn at(&self, step: Step) -> Result<(), DriverError> {
        let fails = self.with(|orders| {
            orders.taken += 1;
            if counted_down(&mut orders.hang_in) {
                orders.hang_at.push(step);
            }
            counted_down(&mut orders.fail_in) || orders.fail_at.contains(&step)
        });
        if fails {
            return Err(DriverError::Simulated(step.name()));
        }
        self.while_told(|orders| orders.hang_at.contains(&step)).await;
        Ok(())
    }

    /// Called behind what a verb has changed.
    pub(super) async fn behind(&self, step: Step) {
        self.with(|orders| {
            orders.done += 1;
            if counted_down(&mut orders.hang_behind_in) {
                orders.hang_behind.push(step);
            }
        });
        self.while_told(|orders| orders.hang_behind.contains(&step)).await;
    }

    async fn while_told(&self, hangs: impl Fn(&Orders) -> bool) {
        loop {
            let released = self.released.notified();
            if !self.with(|orders| hangs(orders)) {
                return;
            }
            released.await;
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Orders) -> T) -> T {
        act(&mut self
            .orders
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}
