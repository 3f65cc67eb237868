//! The streams into one VM that this host carries: programs, copies, consoles.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::idle::Streams;

/// Counts them. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Activity(Arc<Mutex<Streams>>);

/// One stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct Using(Activity);

impl Activity {
    /// A stream begins.
    pub(crate) fn begin(&self) -> Using {
        self.streams().open += 1;
        Using(self.clone())
    }

    /// What there is now.
    pub(crate) fn look(&self) -> Streams {
        *self.streams()
    }

    /// Each change is whole, so a panic elsewhere cannot have left it half-changed.
    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        let mut streams = self.0.streams();
        streams.open = streams.open.saturating_sub(1);
        streams.ended = Some(Instant::now());
    }
}
