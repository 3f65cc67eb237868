//! Whether the client of a stream is still there.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a client may be silent: two pings, and some time for the network.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(50);
/// The same while the VM takes no input: its client is not read then, and cannot be heard.
pub(super) const HELD_LIMIT: Duration = Duration::from_secs(15 * 60);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// When the client was heard last, and whether it can be heard.
pub(super) struct Pulse(Mutex<Beat>);

struct Beat {
    heard: Instant,
    is_held_up: bool,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Beat {
            heard: Instant::now(),
            is_held_up: false,
        }))
    }

    pub(super) fn beat(&self) {
        self.lock().heard = Instant::now();
    }

    /// While this is there, the client is not read.
    pub(super) fn hold_up(&self) -> HeldUp<'_> {
        self.lock().is_held_up = true;
        HeldUp(self)
    }

    /// Returns once the client has gone.
    pub(super) async fn stopped(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let beat = self.lock();
            let limit = if beat.is_held_up {
                HELD_LIMIT
            } else {
                SILENCE_LIMIT
            };
            if beat.heard.elapsed() >= limit {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Beat> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct HeldUp<'a>(&'a Pulse);

impl Drop for HeldUp<'_> {
    fn drop(&mut self) {
        // What the client said meanwhile is read from now on.
        *self.0.lock() = Beat {
            heard: Instant::now(),
            is_held_up: false,
        };
    }
}
