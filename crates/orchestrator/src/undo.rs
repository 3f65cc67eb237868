//! The reversal of each step, written beside the step.
//!
//! A step that makes something pushes how it is unmade. Success keeps everything; a failure unwinds in reverse
//! order, so whatever step failed, nothing is left behind.

use std::future::Future;
use std::pin::Pin;

type Unmake = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What would be unmade, newest last.
#[derive(Default)]
pub(crate) struct Undo {
    steps: Vec<(&'static str, Unmake)>,
}

impl Undo {
    /// Adds how the step just done is unmade. `what` is for the log.
    pub(crate) fn push(&mut self, what: &'static str, unmake: impl Future<Output = ()> + Send + 'static) {
        self.steps.push((what, Box::pin(unmake)));
    }

    /// Unmakes everything, newest first.
    pub(crate) async fn unwind(mut self) {
        while let Some((what, unmake)) = self.steps.pop() {
            tracing::debug!(step = what, "unmaking");
            unmake.await;
        }
    }

    /// Keeps what was made.
    pub(crate) fn keep(mut self) {
        self.steps.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[tokio::test]
    async fn the_newest_is_unmade_first_and_success_unmakes_nothing() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let push = |undo: &mut Undo, n| {
            let order = order.clone();
            undo.push("a number", async move { order.lock().unwrap().push(n) });
        };
        let mut kept = Undo::default();
        push(&mut kept, 0);
        kept.keep();
        let mut undo = Undo::default();
        push(&mut undo, 1);
        push(&mut undo, 2);
        undo.unwind().await;
        assert_eq!(*order.lock().unwrap(), [2, 1]);
    }
}
