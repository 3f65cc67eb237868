//! What is counted as control works, by whoever shows figures.

use std::sync::Arc;
use std::time::Duration;

/// Counts what happens in control. Each call is made where it happens, so none may block.
pub trait Meter: Send + Sync {
    /// A plan of so many bytes was sent to a host.
    fn plan_published(&self, bytes: usize);
    /// A report of a host was taken in.
    fn report_taken(&self);
    /// The memory took so long to make a change last.
    fn committed(&self, took: Duration);
    /// Somebody began to follow events.
    fn follower_came(&self);
    /// Somebody who followed events has gone.
    fn follower_left(&self);
}

/// Counts nothing.
pub(crate) struct Unmetered;

impl Meter for Unmetered {
    fn plan_published(&self, _bytes: usize) {}
    fn report_taken(&self) {}
    fn committed(&self, _took: Duration) {}
    fn follower_came(&self) {}
    fn follower_left(&self) {}
}

/// One who follows events, counted until this is dropped.
pub(crate) struct Follower(Arc<dyn Meter>);

impl Follower {
    pub(crate) fn new(meter: Arc<dyn Meter>) -> Self {
        meter.follower_came();
        Self(meter)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.follower_left();
    }
}
