//! What the service prints, on its way to the host.
//!
//! ```text
//!   service ── two pipes ──► read in batches ──► Ring (the last MiB not held) ──► Port, as it has room
//! ```
//!
//! Always holds:
//!
//! - The service is never held up by a host that is slow or away: the pipes are read, and the ring forgets.
//! - The pipes are there before the service and outlive it, so nothing that it printed last is lost.
//! - A chatty service costs one reading in [`BATCH`], not one for each line. Its two lanes are in order each, and
//!   against one another only to that precision.

mod ring;

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::epoll;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use wire::guest::LogPart;
use wire::stream::Lane;

use super::error::Error;
use ring::Ring;

/// How long output gathers before it is read. `logs -f` is late by this much.
const BATCH: Duration = Duration::from_millis(20);

/// Room of a pipe, so that a burst within a batch does not wait. The kernel takes memory for what is used of it.
const PIPE: usize = 256 * 1024;

/// Whoever printed this much in a batch is read without a pause.
const BURST: usize = 64 * 1024;

/// What one turn takes from a lane, so that one that prints without end does not take PID 1 for itself.
const TURN: usize = 1 << 20;

/// The log of this boot.
#[derive(Debug)]
pub(super) struct Log {
    ring: Ring,
    lanes: [Outlet; 2],
    /// When the pipes are read; `None` while they are watched.
    read_at: Option<Instant>,
    /// The last reading brought much.
    is_burst: bool,
}

/// The pipe of one lane.
#[derive(Debug)]
struct Outlet {
    lane: Lane,
    reader: File,
    writer: OwnedFd,
}

impl Log {
    /// Makes the pipes and watches them; their events carry this mark.
    pub(super) fn open(epoll: &OwnedFd, mark: u64) -> Result<Self, Error> {
        let lanes = [Outlet::open(Lane::Stdout)?, Outlet::open(Lane::Stderr)?];
        for outlet in &lanes {
            epoll::add(epoll, &outlet.reader, epoll::EventData::new_u64(mark), ONCE)
                .map_err(|errno| Error::Descriptor("log", errno.into()))?;
        }
        Ok(Self {
            ring: Ring::default(),
            lanes,
            read_at: None,
            is_burst: false,
        })
    }

    /// What the service prints into: standard output and standard error.
    pub(super) fn inlets(&self) -> io::Result<(Stdio, Stdio)> {
        let [stdout, stderr] = &self.lanes;
        Ok((
            stdout.writer.try_clone()?.into(),
            stderr.writer.try_clone()?.into(),
        ))
    }

    /// There is something to be read.
    pub(super) fn note_ready(&mut self) {
        let pause = if self.is_burst { Duration::ZERO } else { BATCH };
        let now = Instant::now();
        self.read_at
            .get_or_insert_with(|| now.checked_add(pause).unwrap_or(now));
    }

    /// When [`Log::tend`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.read_at
    }

    /// Reads the pipes where it is time, and watches them again.
    pub(super) fn tend(&mut self, epoll: &OwnedFd, mark: u64) {
        if self.read_at.is_some_and(|at| at <= Instant::now()) {
            self.read_at = None;
            self.is_burst = self.read() >= BURST;
            for outlet in &self.lanes {
                let _ = epoll::modify(epoll, &outlet.reader, epoll::EventData::new_u64(mark), ONCE);
            }
        }
    }

    /// Reads what is there, and returns how much that was.
    pub(super) fn read(&mut self) -> usize {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let mut all: usize = 0;
        for outlet in &mut self.lanes {
            all = all.saturating_add(outlet.read_into(&mut self.ring, now));
        }
        all
    }

    /// The host holds everything before this offset.
    pub(super) fn held(&mut self, offset: u64) {
        self.ring.held(offset);
    }

    /// The next part to be said.
    pub(super) fn next(&mut self) -> Option<LogPart> {
        self.ring.next()
    }

    /// Whether everything that was read was said.
    pub(super) fn is_said(&self) -> bool {
        self.ring.is_said()
    }

    /// A host has come that holds what it has acknowledged.
    pub(super) fn begin_anew(&mut self) {
        self.ring.begin_anew();
    }
}

/// One event, then none until the pipes are watched again.
const ONCE: epoll::EventFlags = epoll::EventFlags::IN.union(epoll::EventFlags::ONESHOT);

impl Outlet {
    fn open(lane: Lane) -> Result<Self, Error> {
        let failed = |errno: rustix::io::Errno| Error::Descriptor("log", errno.into());
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
        // Only our end does not wait: a program expects that its output does.
        let flags = fcntl_getfl(&reader).map_err(failed)?;
        fcntl_setfl(&reader, flags.union(OFlags::NONBLOCK)).map_err(failed)?;
        // A kernel that gives less gives less.
        let _ = fcntl_setpipe_size(&writer, PIPE);
        Ok(Self {
            lane,
            reader: File::from(reader),
            writer,
        })
    }

    fn read_into(&mut self, ring: &mut Ring, now: u64) -> usize {
        let mut buffer = [0; ring::PART];
        let mut all: usize = 0;
        while all < TURN {
            match self.reader.read(&mut buffer) {
                Ok(count) if count > 0 => {
                    ring.push(now, self.lane, buffer.get(..count).unwrap_or_default());
                    all = all.saturating_add(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => break,
            }
        }
        all
    }
}
