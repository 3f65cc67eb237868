//! The host's end of a guest's control channel.
//!
//! One task per running VM connects, says hello and the whole configuration, and keeps the newest state of the
//! guest where the VM's task can see it. When the channel ends it connects again and says everything again; the
//! guest answers with its present state, so neither side has to remember what the other heard.
//!
//! ```text
//!   VM's task ── GuestLink ── orders ──┐
//!             ◄── GuestState ──────────┤ Talk ═══ control channel ═══ powerunit
//!   calls ──── GuestDoor ── openings ──┤
//!             ◄══ streams ═════════════┤
//!   VmLog ◄── Keeper ── log ───────────┘
//! ```
//!
//! Always holds: streams live no longer than their connection. Reading never waits for writing, so a guest that sends
//! much and reads late hangs neither itself nor the host.

mod keeper;
mod streams;
mod talk;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use driver::Driver;
use link::HostStream;
use model::{ServiceSeen, VmId};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use wire::guest::{Config, HostFrame, PowerOffKind, Ready, Usage};
use wire::stream::{FailureCode, Open};

use crate::activity::{Activity, Using};
use crate::log::VmLog;
use keeper::Keeper;
use talk::Talk;

/// How long a channel may take to give its last bytes once its VMM has ended; they are in the socket already.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How long one who opens a stream waits for a guest that has not greeted: the host may just have taken it over.
const GREETING: Duration = Duration::from_secs(3);

/// The first protocol version with streams.
const STREAMS: u32 = 2;

/// The first protocol version in which a guest bars keys and says how it is used.
const BARS_AND_TELLS_USAGE: u32 = 3;

/// What the guest last said of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GuestState {
    /// It accepts SSH.
    pub(crate) ready: Option<Ready>,
    /// The last finished step of its boot.
    pub(crate) stage: Option<String>,
    /// It cannot become what its configuration asks: a code and a sentence.
    pub(crate) failed: Option<(String, String)>,
    /// It ends in an ordered way.
    pub(crate) powered_off: Option<PowerOffKind>,
    /// How its service is.
    pub(crate) service: Option<ServiceSeen>,
    /// How it is used, and when it said so.
    pub(crate) usage: Option<(Instant, Usage)>,
    /// Its channel is open, so there may be more to hear.
    connected: bool,
    /// The protocol version that was agreed on.
    protocol: Option<u32>,
}

impl GuestState {
    /// Whether its powerunit is known to be from before guests barred keys and said how they are used.
    pub(crate) fn is_outdated(&self) -> bool {
        self.protocol
            .is_some_and(|version| version < BARS_AND_TELLS_USAGE)
    }
}

/// The channel of one running VM; dropping it ends the task.
pub(crate) struct GuestLink {
    state: watch::Receiver<GuestState>,
    orders: mpsc::Sender<HostFrame>,
    door: GuestDoor,
    task: tokio::task::AbortHandle,
}

impl GuestLink {
    /// Connects to the guest and keeps connecting. Streams come in by `door` from now on.
    pub(crate) fn open(
        driver: Arc<dyn Driver>,
        vm: VmId,
        config: Config,
        log: Arc<VmLog>,
        door: GuestDoor,
    ) -> Self {
        let (state_sender, state) = watch::channel(GuestState::default());
        let (orders, orders_receiver) = mpsc::channel(8);
        let (openings, openings_receiver) = mpsc::channel(1);
        let talk = Talk {
            driver,
            vm,
            config,
            state: state_sender,
            orders: orders_receiver,
            openings: openings_receiver,
            keeper: Keeper::new(log),
        };
        let task = tokio::spawn(talk.run()).abort_handle();
        *door.entry() = Some(Entry {
            state: state.clone(),
            openings,
        });
        Self {
            state,
            orders,
            door,
            task,
        }
    }

    /// How the guest wanted to end, for when its VMM has gone: what it said last may still be on its way here.
    pub(crate) async fn last_word(&self) -> Option<PowerOffKind> {
        let mut state = self.state.clone();
        let heard_all = state.wait_for(|state| state.powered_off.is_some() || !state.connected);
        let waited = tokio::time::timeout(LAST_WORD, heard_all).await.is_ok();
        let said = self.state.borrow().powered_off;
        tracing::debug!(waited, ?said, "the guest's last word");
        said
    }

    /// What the guest last said, which is then no news any more.
    pub(crate) fn take_news(&mut self) -> GuestState {
        self.state.borrow_and_update().clone()
    }

    /// A view that can be waited on; its news is what [`GuestLink::take_news`] has not given yet.
    pub(crate) fn watch(&self) -> watch::Receiver<GuestState> {
        self.state.clone()
    }

    /// Gives the guest a newer configuration.
    pub(crate) async fn renew(&self, config: Config) {
        // A closed channel means that the task is gone with its VM; the caller sees that by itself.
        let _ = self.orders.send(HostFrame::Config(Box::new(config))).await;
    }

    /// Tells the guest to shut down in order.
    pub(crate) async fn stop(&self, grace: Duration) {
        let _ = self.orders.send(HostFrame::Stop { grace }).await;
    }
}

impl Drop for GuestLink {
    fn drop(&mut self) {
        *self.door.entry() = None;
        self.task.abort();
    }
}

/// Where streams into a VM's guest begin, for as long as the VM is known; it leads nowhere while there is no guest.
#[derive(Debug, Clone, Default)]
pub(crate) struct GuestDoor {
    entry: Arc<Mutex<Option<Entry>>>,
    /// Who is inside, and whoever uses the VM by another way of the host.
    pub(crate) activity: Activity,
}

#[derive(Debug, Clone)]
struct Entry {
    state: watch::Receiver<GuestState>,
    openings: mpsc::Sender<Opening>,
}

/// A stream on its way into a guest.
struct Opening {
    open: Open,
    stream: HostStream,
    using: Using,
}

impl GuestDoor {
    /// Begins a stream, or ends it at once with the reason why it cannot begin.
    pub(crate) async fn open(&self, open: Open, stream: HostStream) {
        let Some(mut entry) = self.entry().clone() else {
            return stream.refuse(FailureCode::NotRunning, "the VM does not run");
        };
        match entry.protocol().await {
            Some(version) if version >= STREAMS => {
                // A task that has ended meanwhile drops the stream, which is then lost.
                let using = self.activity.begin();
                let _ = entry.openings.send(Opening { open, stream, using }).await;
            }
            Some(_) => stream.refuse(
                FailureCode::Unsupported,
                "its powerunit is from an older bundle: stop and start the VM",
            ),
            None => stream.refuse(FailureCode::NotRunning, "the VM is not up yet"),
        }
    }

    /// A value that is replaced whole, so a panic elsewhere cannot have left it half-changed.
    fn entry(&self) -> MutexGuard<'_, Option<Entry>> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    async fn protocol(&mut self) -> Option<u32> {
        let greeted = self.state.wait_for(|state| state.protocol.is_some());
        let state = tokio::time::timeout(GREETING, greeted).await.ok()?.ok()?;
        state.protocol
    }
}
