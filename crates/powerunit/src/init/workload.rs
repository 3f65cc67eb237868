//! What the machine does beside being logged into: the image's service with its log, and the host's streams.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use model::ProgramEnd;
use nix::unistd::Pid;
use wire::guest::{Config, GuestFrame, ImageDefaults};
use wire::stream::{Input, Open};

use super::control::Port;
use super::kmsg;
use super::log::Log;
use super::service::Service;
use super::streams::Streams;

/// The mark on events of the log.
const LOG: u64 = 1;
/// The mark on events of streams, beside their number.
const STREAM: u64 = 1 << 32;

/// What the host gets to take the last of the log, when the machine ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// All of it. A machine without a service has no log.
#[derive(Debug, Default)]
pub(super) struct Workload {
    service: Option<(Service, Log)>,
    streams: Streams,
    image: ImageDefaults,
    boot_id: String,
}

impl Workload {
    /// Of a machine that has become what its configuration says.
    pub(super) fn of(config: &Config, boot_id: &str, epoll: &OwnedFd) -> Self {
        let service = Service::of(config).and_then(|service| match Log::open(epoll, LOG) {
            Ok(log) => Some((service, log)),
            Err(error) => {
                kmsg::problem(&error);
                None
            }
        });
        Self {
            service,
            streams: Streams::default(),
            image: config.image.clone(),
            boot_id: boot_id.to_owned(),
        }
    }

    /// Takes a newer configuration.
    pub(super) fn renew(&mut self, config: &Config) {
        self.image.clone_from(&config.image);
        if let Some((service, _)) = &mut self.service {
            service.renew(config);
        }
    }

    /// Starts the service, if it was not.
    pub(super) fn begin(&mut self) {
        if let Some((service, log)) = &mut self.service {
            service.begin(log);
        }
    }

    /// A host has greeted: it is told how the service is, and everything of the log that it does not hold.
    pub(super) fn greeted(&mut self, port: &mut Port) {
        self.streams.end_all();
        if let Some((service, log)) = &mut self.service {
            log.begin_anew();
            if let Some(seen) = service.seen() {
                port.send(&GuestFrame::Service(seen));
            }
        }
    }

    /// The host holds a part of the log, if it speaks of this boot.
    pub(super) fn held(&mut self, boot_id: &str, offset: u64) {
        if let Some((_, log)) = self.service.as_mut().filter(|_| boot_id == self.boot_id) {
            log.held(offset);
        }
    }

    /// Opens a stream.
    pub(super) fn open(&mut self, stream: u32, open: Open, epoll: &OwnedFd, port: &mut Port) {
        let refused = self.streams.open(stream, open, &self.image, (epoll, STREAM));
        if let Some(output) = refused {
            port.send(&GuestFrame::Output { stream, output });
        }
    }

    /// Passes on what the host says in a stream.
    pub(super) fn input(&mut self, stream: u32, input: Input, port: &mut Port) {
        if let Some(output) = self.streams.input(stream, input) {
            port.send(&GuestFrame::Output { stream, output });
        }
    }

    /// An event with this mark came.
    pub(super) fn note_ready(&mut self, mark: u64) {
        if mark & STREAM != 0 {
            self.streams
                .note_ready(u32::try_from(mark & u64::from(u32::MAX)).unwrap_or(0));
        } else if let Some((_, log)) = self.service.as_mut().filter(|_| mark == LOG) {
            log.note_ready();
        }
    }

    /// A process has ended.
    pub(super) fn note_end(&mut self, pid: Pid, end: ProgramEnd) {
        self.streams.note_end(pid);
        if let Some((service, log)) = &mut self.service
            && service.note_end(pid, end)
        {
            // Its last words go before the news.
            log.read();
        }
    }

    /// Does what it is time for, and tells the host as much as it takes.
    pub(super) fn tend(&mut self, epoll: &OwnedFd, port: &mut Port) {
        if port.version().is_none() {
            self.streams.end_all();
        }
        self.streams.tend();
        if let Some((service, log)) = &mut self.service {
            log.tend(epoll, LOG);
            service.tend(log);
        }
        self.tell(port);
    }

    fn tell(&mut self, port: &mut Port) {
        port.flush();
        while port.has_room() {
            let part = self.service.as_mut().and_then(|(_, log)| log.next());
            let said_log = part.is_some();
            if let Some(part) = part {
                port.send(&GuestFrame::Log(part));
            }
            if !self.streams.pump(port) && !said_log {
                break;
            }
        }
        if let Some(seen) = self.service.as_mut().and_then(|(service, _)| service.news()) {
            port.send(&GuestFrame::Service(seen));
        }
    }

    /// When [`Workload::tend`] has something to do that no event announces.
    pub(super) fn due(&self) -> Option<Instant> {
        let service = self.service.as_ref();
        let dues = [
            service.and_then(|(service, _)| service.due()),
            service.and_then(|(_, log)| log.due()),
            self.streams.due(),
        ];
        dues.into_iter().flatten().min()
    }

    /// Asks the service to end, and starts it no more.
    pub(super) fn stop(&mut self) {
        if let Some((service, _)) = &mut self.service {
            service.stop();
        }
    }

    /// Whether the service's main process lives.
    pub(super) fn runs(&self) -> bool {
        self.service.as_ref().is_some_and(|(service, _)| service.runs())
    }

    /// Reads and tells the last of the log, when nobody is left to print.
    pub(super) fn finish(&mut self, port: &mut Port) {
        let start = Instant::now();
        if let Some((_, log)) = &mut self.service {
            log.read();
        }
        loop {
            self.tell(port);
            port.settle();
            let is_said = self.service.as_ref().is_none_or(|(_, log)| log.is_said());
            if is_said || port.version().is_none() || start.elapsed() > LAST_WORDS {
                return;
            }
        }
    }
}
