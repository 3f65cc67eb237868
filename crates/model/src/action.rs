//! What can be done to a VM, and when: one table of action × status.
//!
//! ```text
//!              INIT  BUILDING  BOOTING  RUNNING  STOPPING  STOPPED  ERROR  DELETING
//!   start       ·      ·         ·        ·         +         +       +       -        + asked for from now on
//!   stop        +      +         +        +         ·         ·       +       -        · so already
//!   delete      +      +         +        +         +         +       +       ·        - refused
//! ```
//!
//! The status is the one of what was seen last: a silent host hears of the wish when it returns, so `UNKNOWN` is no
//! column of its own.

use std::fmt;

use crate::{Asked, Power, Seen, Status, status};

/// What can be done to a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Let it run.
    Start,
    /// Let it be off.
    Stop,
    /// Boot it again.
    Restart,
    /// Make its disk anew from an image.
    Rebuild,
    /// Another number of processors or amount of memory.
    Resize,
    /// The same, together with a restart.
    ResizeAndRestart,
    /// A larger disk, and nothing else.
    Grow,
    /// More time to live.
    Extend,
    /// Anything else that can be changed at any time.
    Change,
    /// Let it go.
    Delete,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 10] = [
        Self::Start,
        Self::Stop,
        Self::Restart,
        Self::Rebuild,
        Self::Resize,
        Self::ResizeAndRestart,
        Self::Grow,
        Self::Extend,
        Self::Change,
        Self::Delete,
    ];

    /// What it is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Rebuild => "rebuild",
            Self::Resize => "resize",
            Self::ResizeAndRestart => "resize with restart",
            Self::Grow => "resize of the disk alone",
            Self::Extend => "extend",
            Self::Change => "change",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is asked for from now on.
    Accepted,
    /// It is so already, or on its way there.
    NoOp,
    /// It does not fit, for a reason.
    Refused(Misfit),
}

/// Why an action does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// The VM is being removed.
    Going,
    /// The VM is off, or on its way there.
    Off,
    /// The VM is not off.
    NotOff,
}

/// The table.
pub const fn verdict(action: Action, status: Status) -> Verdict {
    use Misfit::{Going, NotOff, Off};
    use Verdict::{Accepted, NoOp, Refused};
    let waits_for_its_boot = matches!(status, Status::Init | Status::BuildingFilesystem);
    let goes_off = matches!(status, Status::Stopping | Status::Stopped);
    match action {
        Action::Delete if matches!(status, Status::Deleting) => NoOp,
        Action::Delete => Accepted,
        _ if matches!(status, Status::Deleting) => Refused(Going),
        Action::Start if waits_for_its_boot || matches!(status, Status::Booting | Status::Running) => NoOp,
        Action::Stop if goes_off => NoOp,
        Action::Restart if goes_off => Refused(Off),
        // The boot that is on its way is a fresh one.
        Action::Restart if waits_for_its_boot => NoOp,
        Action::Resize if !matches!(status, Status::Stopped) => Refused(NotOff),
        Action::ResizeAndRestart if matches!(status, Status::Stopping) => Refused(Off),
        Action::Start
        | Action::Stop
        | Action::Restart
        | Action::Rebuild
        | Action::Resize
        | Action::ResizeAndRestart
        | Action::Grow
        | Action::Extend
        | Action::Change => Accepted,
    }
}

/// The status that the table is read at, for a VM as it was asked for and seen last. Where what is asked and what is
/// seen disagree about power and no wish is on its way, the guest has just ended by itself: what is asked decides, so
/// that `stop` and `start` say what shall be.
pub fn status_for_action(asked: &Asked, seen: Option<&Seen>) -> Status {
    let status = status(asked, seen, false).status;
    let is_off = matches!(status, Status::Stopping | Status::Stopped);
    match asked.body.power {
        _ if status == Status::Deleting => status,
        Power::Off if !is_off => Status::Stopping,
        Power::On if is_off => Status::Error,
        Power::Off | Power::On => status,
    }
}

/// The table in Markdown, for the documentation.
pub fn table() -> String {
    const COLUMNS: [Status; 8] = [
        Status::Init,
        Status::BuildingFilesystem,
        Status::Booting,
        Status::Running,
        Status::Stopping,
        Status::Stopped,
        Status::Error,
        Status::Deleting,
    ];
    let mut lines = vec![
        format!(
            "| action | {} |",
            COLUMNS.map(|status| format!("`{status}`")).join(" | ")
        ),
        format!("| --- |{}", " --- |".repeat(COLUMNS.len())),
    ];
    for action in Action::ALL {
        let cells = COLUMNS.map(|status| match verdict(action, status) {
            Verdict::Accepted => "accepted",
            Verdict::NoOp => "no-op",
            Verdict::Refused(_) => "409",
        });
        lines.push(format!("| {action} | {} |", cells.join(" | ")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/actions.md` holds the table; set `UPDATE_GOLDEN=1` to write it anew.
    #[test]
    fn the_page_shows_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/actions.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once("<!-- table -->\n").unwrap();
        let (_, after) = rest.split_once("<!-- end of table -->").unwrap();
        let written = format!(
            "{before}<!-- table -->\n{}\n<!-- end of table -->{after}",
            table()
        );
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &written).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), written);
    }

    #[test]
    fn what_goes_away_takes_nothing_but_its_removal() {
        for action in Action::ALL {
            let expected = match action == Action::Delete {
                true => Verdict::NoOp,
                false => Verdict::Refused(Misfit::Going),
            };
            assert_eq!(verdict(action, Status::Deleting), expected, "{action}");
        }
        for status in Status::ALL {
            assert!(
                !matches!(verdict(Action::Delete, status), Verdict::Refused(_)),
                "{status}"
            );
        }
    }

    #[test]
    fn starting_and_stopping_are_always_possible() {
        for status in Status::ALL
            .into_iter()
            .filter(|status| *status != Status::Deleting)
        {
            for action in [
                Action::Start,
                Action::Stop,
                Action::Rebuild,
                Action::Extend,
                Action::Change,
            ] {
                assert!(
                    !matches!(verdict(action, status), Verdict::Refused(_)),
                    "{action} {status}"
                );
            }
        }
    }
}
