//! The host's streams: a process for each, and frames both ways.
//!
//! ```text
//!   Port ── Open, Input ──► Streams ──► StreamChild ── socket ──► powerunit stream
//!        ◄─ Output ──────── as the port has room ◄──────────────┘
//! ```
//!
//! Always holds:
//!
//! - A child is read only while the port has room, and is written to without waiting, so a slow host or a slow child
//!   slows its own stream.
//! - Each stream ends with `Ended`, whatever happened to its child, unless its connection ended first.
//! - A stream's child has gone a while after its stream, or is killed.

mod child;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::event::epoll;
use wire::guest::{GuestFrame, HostFrame, ImageDefaults};
use wire::stream::{End, Failure, FailureCode, Input, Open, Output};

use super::control::Port;
use child::{Heard, StreamChild};

/// More would be a client that forgets to end them.
const MOST: usize = 32;

/// What a child gets to end its program and itself. It gives a program two seconds.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

/// All that are open.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: BTreeMap<u32, StreamChild>,
    /// Children whose connection has ended, and when they are killed.
    leaving: Vec<(Pid, Instant)>,
    /// The stream that was served last.
    served: u32,
}

impl Streams {
    /// Opens one; its events carry its number under `mark`. What cannot be opened is answered at once.
    pub(super) fn open(
        &mut self,
        number: u32,
        open: Open,
        image: &ImageDefaults,
        watch: (&OwnedFd, u64),
    ) -> Option<Output> {
        // A host that uses a number twice would be told of the end of the wrong one.
        if self.open.contains_key(&number) {
            return None;
        }
        if self.open.len() >= MOST {
            return Some(failed(
                FailureCode::Busy,
                &format!("{MOST} streams are open already"),
            ));
        }
        let started = StreamChild::start().and_then(|child| {
            let (epoll, mark) = watch;
            let data = epoll::EventData::new_u64(mark | u64::from(number));
            epoll::add(epoll, &child, data, CHANGES)?;
            Ok(child)
        });
        match started {
            Ok(mut child) => {
                child.tell(&HostFrame::Open {
                    stream: number,
                    open: complete(open, image),
                });
                self.open.insert(number, child);
                None
            }
            Err(error) => Some(failed(
                FailureCode::Failed,
                &format!("cannot start the stream's process: {error}"),
            )),
        }
    }

    /// Passes on what the host says; a stream that has ended hears nothing.
    pub(super) fn input(&mut self, number: u32, input: Input) -> Option<Output> {
        let child = self.open.get_mut(&number)?;
        if child.tell(&HostFrame::Input {
            stream: number,
            input,
        }) {
            return None;
        }
        self.leave(number);
        Some(failed(
            FailureCode::Invalid,
            "more input was sent than there was credit for",
        ))
    }

    /// Something happened to a stream's socket.
    pub(super) fn note_ready(&mut self, number: u32) {
        if let Some(child) = self.open.get_mut(&number) {
            child.is_ready = true;
            child.flush();
        }
    }

    /// Passes on one thing that some stream said, each in its turn. Says whether there was one.
    pub(super) fn pump(&mut self, port: &mut Port) -> bool {
        let after = (Bound::Excluded(self.served), Bound::Unbounded);
        let before = (Bound::Unbounded, Bound::Included(self.served));
        let order: Vec<u32> = self
            .open
            .range(after)
            .chain(self.open.range(before))
            .filter(|(_, child)| child.is_ready)
            .map(|(number, _)| *number)
            .collect();
        order.into_iter().any(|number| self.pump_one(number, port))
    }

    fn pump_one(&mut self, number: u32, port: &mut Port) -> bool {
        let Some(child) = self.open.get_mut(&number) else {
            return false;
        };
        let output = match child.hear() {
            Heard::Said(output) => output,
            Heard::Nothing => {
                child.is_ready = false;
                return false;
            }
            Heard::End => failed(FailureCode::Failed, "the stream's process ended before its work"),
        };
        self.served = number;
        if matches!(output, Output::Ended(_)) {
            self.leave(number);
        }
        port.send(&GuestFrame::Output {
            stream: number,
            output,
        });
        true
    }

    /// Their connection has ended. The end of its socket means `Close` to a child.
    pub(super) fn end_all(&mut self) {
        while let Some((number, _)) = self.open.first_key_value() {
            let number = *number;
            self.leave(number);
        }
    }

    fn leave(&mut self, number: u32) {
        if let Some(child) = self.open.remove(&number) {
            let now = Instant::now();
            let killed_at = now.checked_add(LEAVES_WITHIN).unwrap_or(now);
            self.leaving.push((child.pid, killed_at));
        }
    }

    /// A process has ended and its number is free.
    pub(super) fn note_end(&mut self, ended: Pid) {
        self.leaving.retain(|(pid, _)| *pid != ended);
    }

    /// When [`Streams::tend`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.leaving.iter().map(|(_, killed_at)| *killed_at).min()
    }

    /// Kills children that do not leave.
    pub(super) fn tend(&mut self) {
        let now = Instant::now();
        let late = |(pid, killed_at): &(Pid, Instant)| {
            let is_late = *killed_at <= now;
            if is_late {
                let _ = kill(*pid, Signal::SIGKILL);
            }
            !is_late
        };
        self.leaving.retain(late);
    }
}

/// Both directions, at each change: what is ready and cannot be used now must not wake us again and again.
const CHANGES: epoll::EventFlags = epoll::EventFlags::IN
    .union(epoll::EventFlags::OUT)
    .union(epoll::EventFlags::ET);

/// Pure: a program with what it leaves to the image.
fn complete(open: Open, image: &ImageDefaults) -> Open {
    let Open::Exec(mut exec) = open else { return open };
    if exec.user.is_empty() {
        exec.user.clone_from(&image.user);
    }
    if exec.working_dir.is_empty() {
        exec.working_dir.clone_from(&image.working_dir);
    }
    exec.env = image.env.iter().cloned().chain(exec.env).collect();
    Open::Exec(exec)
}

pub(super) fn failed(code: FailureCode, message: &str) -> Output {
    Output::Ended(End::Failed(Failure {
        code,
        message: message.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::stream::Exec;

    #[test]
    fn a_program_leaves_to_the_image_what_it_does_not_say() {
        let image = ImageDefaults {
            user: "ann".into(),
            env: vec!["A=1".into()],
            working_dir: "/srv".into(),
            volumes: vec![],
        };
        let plain = complete(Open::Exec(Exec::default()), &image);
        let expected = Exec {
            user: "ann".into(),
            env: vec!["A=1".into()],
            working_dir: "/srv".into(),
            ..Exec::default()
        };
        assert_eq!(plain, Open::Exec(expected));
        let own = Exec {
            user: "root".into(),
            env: vec!["A=2".into()],
            working_dir: "/".into(),
            ..Exec::default()
        };
        let Open::Exec(own) = complete(Open::Exec(own), &image) else {
            panic!("another kind")
        };
        assert_eq!((own.user.as_str(), own.working_dir.as_str()), ("root", "/"));
        assert_eq!(own.env, ["A=1", "A=2"]);
    }
}
