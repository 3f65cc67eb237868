//! Who gets in.

use std::sync::Arc;

use russh::keys::PublicKey;
use tokio::sync::watch;

use super::settings::Settings;

/// Looks at the newest configuration at each question, so a key that was taken away opens nothing any more.
#[derive(Debug, Clone)]
pub(super) struct Authority(watch::Receiver<Option<Arc<Settings>>>);

impl Authority {
    pub(super) fn new(current: watch::Receiver<Option<Arc<Settings>>>) -> Self {
        Self(current)
    }

    pub(super) fn settings(&self) -> Option<Arc<Settings>> {
        self.0.borrow().clone()
    }

    pub(super) fn admits(&self, key: &PublicKey) -> bool {
        self.settings().is_some_and(|settings| settings.admits(key))
    }
}
