//! Telling how far a VM has come, on stderr, where somebody watches.
//!
//! One line changes in place, and each finished status leaves a line with the time it took.

use std::io::{self, Write};
use std::time::Instant;

use api::{Stage, Status, Vm, VmStatus};

use crate::terminal;

/// A terminal that does not tell its width is taken for this wide. A line that wraps cannot be written over.
const USUAL_WIDTH: usize = 80;

/// What has been told so far.
pub(crate) struct Progress {
    is_watched: bool,
    status: Option<(VmStatus, Instant)>,
}

impl Progress {
    pub(crate) const fn new(is_watched: bool) -> Self {
        Self {
            is_watched,
            status: None,
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
        let (true, Some((status, since))) = (self.is_watched, &self.status) else {
            return;
        };
        let what = stage.map(describe).unwrap_or_default();
        let seconds = since.elapsed().as_secs_f32();
        let width = terminal::size().map_or(USUAL_WIDTH, |(columns, _)| usize::from(columns));
        let line: String = format!("{name}: {status} {seconds:.0} s {what}")
            .chars()
            .take(width.saturating_sub(1))
            .collect();
        tell(&format!("\r\x1b[2K{}", line.trim_end()));
    }

    /// Ends what is being told, so that other text can follow.
    pub(crate) fn finish(&mut self) {
        let is_end = |status: &VmStatus| status.known().is_some_and(Status::is_settled);
        match &self.status {
            // What the VM came to is the command's result, told on its own.
            Some((status, _)) if self.is_watched && is_end(status) => tell("\r\x1b[2K"),
            Some(_) | None => self.leave_status(),
        }
        self.status = None;
    }

    fn leave_status(&mut self) {
        if let (true, Some((status, since))) = (self.is_watched, &self.status) {
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
