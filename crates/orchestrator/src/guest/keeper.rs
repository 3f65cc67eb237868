//! Writes a guest's log down and says how much is held.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wire::guest::{HostFrame, LogPart};

use crate::log::{LogFiles, VmLog};

/// How long a part may wait until it is acknowledged. Later makes the guest keep more, sooner makes it busy.
const PATIENCE: Duration = Duration::from_millis(200);

/// So much of a log is acknowledged at once.
const STEP: u64 = 64 * 1024;

/// The one who keeps a guest's log. Its files are opened when there is something to write.
pub(super) struct Keeper {
    log: Arc<VmLog>,
    files: Option<LogFiles>,
    boot_id: Option<String>,
    /// What was acknowledged last.
    told: u64,
    due: Option<Instant>,
    /// The last write failed; that was said.
    failing: bool,
}

impl Keeper {
    pub(super) const fn new(log: Arc<VmLog>) -> Self {
        Self {
            log,
            files: None,
            boot_id: None,
            told: 0,
            due: None,
            failing: false,
        }
    }

    /// The guest greeted. It says again what it was not told to be held.
    pub(super) fn greeted(&mut self, boot_id: &str) {
        self.boot_id = Some(boot_id.to_owned());
        self.told = 0;
        self.due = None;
    }

    /// Writes a part down. What cannot be written is not acknowledged, and shows as a gap unless the guest says it again.
    pub(super) fn take(&mut self, part: &LogPart) {
        match self.write(part) {
            Ok(held) => {
                self.failing = false;
                let now = Instant::now();
                if held >= self.told.saturating_add(STEP) {
                    self.due = Some(now);
                } else if self.due.is_none() {
                    self.due = Some(now + PATIENCE);
                }
            }
            Err(error) => {
                self.files = None;
                if !self.failing {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the VM's log cannot be written"
                    );
                }
                self.failing = true;
            }
        }
    }

    fn write(&mut self, part: &LogPart) -> io::Result<u64> {
        let Some(boot_id) = &self.boot_id else {
            return Ok(0);
        };
        let files = match &mut self.files {
            Some(files) => files,
            None => self.files.insert(LogFiles::open(self.log.clone())?),
        };
        files.boot(boot_id, part.unix_ns)?;
        files.append(part)?;
        Ok(files.held().unwrap_or(0))
    }

    /// When the next acknowledgement is due; `None` where nothing has to be acknowledged.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What is to be said of what is held.
    pub(super) fn acknowledgement(&mut self) -> Option<HostFrame> {
        self.due = None;
        let boot_id = self.boot_id.clone()?;
        self.told = self.files.as_ref()?.held()?;
        Some(HostFrame::LogHeld {
            boot_id,
            offset: self.told,
        })
    }
}
