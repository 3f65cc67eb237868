//! What a guest knows for as long as its machine runs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use model::{ProgramEnd, ServiceSeen, ServiceState};
use tokio::sync::Notify;
use wire::guest::{GuestFrame, LOG_KEPT, LogPart, Usage};
use wire::stream::Lane;

/// One guest.
#[derive(Default)]
pub(super) struct Memory {
    boot_id: String,
    /// What the host does not hold yet, at most [`LOG_KEPT`] bytes.
    kept: VecDeque<LogPart>,
    /// The first of `kept` that was not said in this connection.
    said: usize,
    printed: u64,
    held: u64,
    service: Option<ServiceSeen>,
    service_is_news: bool,
    files: BTreeMap<String, Vec<u8>>,
    pub(super) usage: Usage,
    pub(super) is_asked_for_usage: bool,
    pub(super) keys: Vec<String>,
    pub(super) barred: Vec<String>,
    /// Programs of the present connection.
    pub(super) running: usize,
    bell: Arc<Notify>,
}

impl Memory {
    /// Rings when there is news.
    pub(super) fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }

    /// A connection begins, perhaps of another boot. Gives what is said again.
    pub(super) fn greet(&mut self, boot_id: &str) -> Vec<GuestFrame> {
        if self.boot_id != boot_id {
            *self = Self {
                boot_id: boot_id.to_owned(),
                files: std::mem::take(&mut self.files),
                bell: self.bell.clone(),
                ..Self::default()
            };
        }
        self.said = 0;
        self.service_is_news = true;
        self.news()
    }

    /// The service begins, unless it has in this boot. `echo` prints its arguments and ends; anything else runs.
    pub(super) fn begin(&mut self, arguments: &[String]) {
        if self.service.is_some() {
            return;
        }
        let ends = match arguments.split_first() {
            Some((program, rest)) if program == "echo" => {
                self.print(Lane::Stdout, format!("{}\n", rest.join(" ")).as_bytes());
                true
            }
            Some(_) | None => false,
        };
        self.set_service(ServiceSeen {
            state: if ends {
                ServiceState::Ended
            } else {
                ServiceState::Running
            },
            exit: ends.then_some(ProgramEnd::Exited(0)),
            restarts: 0,
            message: None,
        });
    }

    pub(super) fn set_service(&mut self, service: ServiceSeen) {
        self.service = Some(service);
        self.service_is_news = true;
        self.bell.notify_one();
    }

    pub(super) fn print(&mut self, lane: Lane, bytes: &[u8]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for bytes in bytes.chunks(8 * 1024) {
            self.kept.push_back(LogPart {
                offset: self.printed,
                unix_ns: u64::try_from(now.as_nanos()).unwrap_or_default(),
                lane,
                bytes: bytes.to_vec(),
            });
            self.printed += bytes.len() as u64;
        }
        let mut size: usize = self.kept.iter().map(|part| part.bytes.len()).sum();
        while size > LOG_KEPT {
            size -= self.kept.pop_front().map_or(size, |part| part.bytes.len());
            self.said = self.said.saturating_sub(1);
        }
        self.bell.notify_one();
    }

    /// What was not said in this connection yet.
    pub(super) fn news(&mut self) -> Vec<GuestFrame> {
        let mut news = Vec::new();
        if std::mem::take(&mut self.service_is_news) {
            news.extend(self.service.clone().map(GuestFrame::Service));
        }
        news.extend(self.kept.iter().skip(self.said).cloned().map(GuestFrame::Log));
        self.said = self.kept.len();
        news
    }

    pub(super) fn hold(&mut self, boot_id: &str, offset: u64) {
        if self.boot_id != boot_id {
            return;
        }
        self.held = self.held.max(offset);
        while let Some(part) = self.kept.front() {
            if part.offset + part.bytes.len() as u64 > offset {
                return;
            }
            self.kept.pop_front();
            self.said = self.said.saturating_sub(1);
        }
    }

    pub(super) const fn held(&self) -> u64 {
        self.held
    }

    pub(super) const fn printed(&self) -> u64 {
        self.printed
    }

    /// The archives that were unpacked, by path.
    pub(super) const fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    pub(super) fn keep(&mut self, path: String, archive: Vec<u8>) {
        self.files.insert(path, archive);
    }
}
