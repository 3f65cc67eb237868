//! Telling how far a VM has come, on stderr.
//!
//! On a terminal one line changes in place and each finished status leaves a line with the time it took; elsewhere
//! there is a line per stage.

use std::io::{self, Write};
use std::time::Instant;

use api::{Stage, Status, Vm, VmStatus};

use crate::output::Talk;

/// Longer lines would wrap, and a wrapped line cannot be written over.
const LINE_LIMIT: usize = 79;

/// What has been told so far.
pub(crate) struct Progress {
    talk: Talk,
    status: Option<(VmStatus, Instant)>,
    told: String,
}

impl Progress {
    pub(crate) const fn new(talk: Talk) -> Self {
        Self {
            talk,
            status: None,
            told: String::new(),
        }
    }

    /// Shows where the VM stands.
    pub(crate) fn show(&mut self, vm: &Vm) {
        let changed = self
            .status
            .as_ref()
            .is_none_or(|(status, _)| *status != vm.status);
        if changed {
            self.leave_status();
            self.status = Some((vm.status.clone(), Instant::now()));
            self.told.clear();
        }
        // A failure that the host tries to mend is waited for, so it is told as if it were a stage.
        let failure = vm.reason.as_ref().map(|reason| Stage {
            what: reason.message.clone(),
            done: 0,
            total: 0,
        });
        self.stage(&vm.name, vm.stage.as_ref().or(failure.as_ref()));
    }

    /// Shows progress inside the status shown last.
    pub(crate) fn stage(&mut self, name: &str, stage: Option<&Stage>) {
        let Some((status, since)) = &self.status else {
            return;
        };
        match self.talk {
            Talk::Silent => {}
            Talk::Lines => {
                let what = stage.map(|stage| format!(": {}", stage.what)).unwrap_or_default();
                let line = format!("{name}: {status}{what}");
                if line != self.told {
                    tell(&format!("{line}\n"));
                    self.told = line;
                }
            }
            Talk::Live => {
                let what = stage.map(describe).unwrap_or_default();
                let seconds = since.elapsed().as_secs_f32();
                let line: String = format!("{name}: {status} {seconds:.0} s {what}")
                    .chars()
                    .take(LINE_LIMIT)
                    .collect();
                tell(&format!("\r\x1b[2K{}", line.trim_end()));
            }
        }
    }

    /// Ends what is being told, so that other text can follow.
    pub(crate) fn finish(&mut self) {
        let is_end = |status: &VmStatus| status.known().is_some_and(Status::is_settled);
        match (self.talk, &self.status) {
            // What the VM came to is the command's result, told on its own.
            (Talk::Live, Some((status, _))) if is_end(status) => tell("\r\x1b[2K"),
            (Talk::Live | Talk::Lines | Talk::Silent, _) => self.leave_status(),
        }
        self.status = None;
    }

    fn leave_status(&mut self) {
        if let (Talk::Live, Some((status, since))) = (self.talk, &self.status) {
            let seconds = since.elapsed().as_secs_f32();
            tell(&format!(
                "\r\x1b[2K  {:<20} {seconds:>6.1} s\n",
                status.to_string()
            ));
        }
    }
}

fn describe(stage: &Stage) -> String {
    match stage.total {
        0 => stage.what.clone(),
        total => format!("{} {}%", stage.what, stage.done.saturating_mul(100) / total),
    }
}

fn tell(text: &str) {
    let mut err = io::stderr().lock();
    // Progress is not worth a failure.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
