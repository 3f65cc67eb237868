//! What control asks of a host about one of its VMs, beside plans: bytes to and fro, and the VM's log.
//!
//! A byte stream is spoken in the words of [`crate::stream`], whether it ends in the guest or in the VMM's console. A
//! log is a run of [`LogRecord`]s and one [`crate::stream::End`] behind them.

use crate::stream::{Lane, Open};

/// A byte stream to a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamRequest {
    /// Into the guest.
    Guest(Open),
    /// The console that the guest's kernel writes: what it printed last, then what it prints from now on, as standard
    /// output, until the VM ends or somebody else takes the console.
    Console {
        /// Whether data reaches the guest's keyboard; else it is dropped.
        interactive: bool,
    },
}

/// Which part of a VM's log is wanted. The log is there whether the VM runs or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogRequest {
    /// Whether to go on with what is printed from now on, until the VM is removed. Else it ends with what is there now.
    pub follow: bool,
    /// At most so many lines of what is there now, the newest; `None` is all.
    pub tail: Option<u64>,
    /// Only what was printed at or after this time, nanoseconds since 1970-01-01 UTC.
    pub since_unix_ns: Option<u64>,
}

/// An entry of a VM's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// When it was printed, by the guest's clock, nanoseconds since 1970-01-01 UTC. A line has the time of its begin.
    pub unix_ns: u64,
    /// What it says.
    pub entry: LogEntry,
}

/// What an entry of a log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEntry {
    /// A line of the service.
    Line {
        /// Where it was printed.
        lane: Lane,
        /// Its bytes, without the newline; at most [`MAX_LINE`]. A longer line is cut into several.
        bytes: Vec<u8>,
    },
    /// Something was lost here.
    Gap {
        /// How many bytes; `None` where nobody knows.
        bytes: Option<u64>,
    },
    /// The VM booted here.
    Boot {
        /// The `boot_id` of its kernel.
        boot_id: String,
    },
}

/// The longest line of a log, bytes.
pub const MAX_LINE: usize = 16 * 1024;
