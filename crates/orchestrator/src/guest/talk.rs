//! The conversation with a guest, connection after connection.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use driver::{ControlStream, Driver};
use model::{ServiceSeen, VmId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use wire::guest::{
    Config, Decoder, Encoder, GuestFrame, GuestHello, HostFrame, HostHello, PROTOCOL, Seed, TooLong, agree,
};

use super::keeper::Keeper;
use super::streams::Streams;
use super::{GuestState, Opening};

/// Between attempts to connect: short at first, as the VMM makes its sockets within milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Until a greeting that was not answered is said again. Too short fills the port of a guest that boots slowly.
const FIRST_PATIENCE: Duration = Duration::from_millis(300);
const LONGEST_PATIENCE: Duration = Duration::from_secs(5);

/// How often a guest hears what time it is. A clock that was set or stopped is to be right in 30 s: two of these tell that
/// it is ahead, and two more put right what was heard late.
const TIME_EVERY: Duration = Duration::from_secs(7);

/// The first protocol in which the time is said by itself.
const TIME_SINCE: u32 = 2;

/// The longest sentence of a guest that is passed on, bytes.
const LONGEST_SENTENCE: usize = 1000;

/// One conversation.
pub(super) struct Talk {
    pub(super) driver: Arc<dyn Driver>,
    pub(super) vm: VmId,
    pub(super) config: Config,
    pub(super) state: watch::Sender<GuestState>,
    pub(super) orders: mpsc::Receiver<HostFrame>,
    pub(super) openings: mpsc::Receiver<Opening>,
    pub(super) keeper: Keeper,
}

/// What lives as long as one connection.
struct Connection {
    decoder: Decoder<GuestFrame>,
    /// What the channel has not taken yet. Nothing is added while there is something, but for answers to the guest.
    outgoing: Vec<u8>,
    streams: Streams,
    /// Something was heard.
    heard: bool,
    /// The guest said hello: what it says of streams and its log is of this connection.
    greeted: bool,
    /// When the time is said next; never to a guest that does not understand it.
    time_due: Option<Instant>,
}

/// Why one connection ended.
#[derive(Debug, thiserror::Error)]
enum TalkError {
    #[error("the control channel ended")]
    Io(#[from] std::io::Error),
    #[error("a frame is too long to be sent")]
    TooLong(#[from] TooLong),
}

impl Talk {
    /// Connects again and again, until it is dropped.
    pub(super) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.driver.control(self.vm).await {
                Ok(stream) => {
                    pause = FIRST_PAUSE;
                    self.state.send_modify(|state| state.connected = true);
                    if let Err(error) = self.speak(stream).await {
                        tracing::debug!(vm.id = %self.vm, %error, "connecting to the guest again");
                    }
                    self.state.send_modify(|state| state.connected = false);
                }
                Err(error) => {
                    tracing::trace!(vm.id = %self.vm, %error, "the guest's channel is not there yet")
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn speak(&mut self, stream: Box<dyn ControlStream>) -> Result<(), TalkError> {
        let (mut from_guest, mut to_guest) = tokio::io::split(stream);
        let mut connection = Connection::new();
        connection.outgoing = self.greeting()?;
        let mut buffer = vec![0; 4096];
        let mut patience = FIRST_PATIENCE;
        loop {
            let idle = connection.outgoing.is_empty();
            tokio::select! {
                count = from_guest.read(&mut buffer) => {
                    let count = count?;
                    if count == 0 {
                        return Ok(());
                    }
                    connection.heard = true;
                    connection.decoder.push(buffer.get(..count).unwrap_or_default());
                    self.hear(&mut connection)?;
                }
                count = to_guest.write(&connection.outgoing), if !idle => match count? {
                    0 => return Ok(()),
                    count => connection.sent(count),
                },
                order = self.orders.recv(), if idle => {
                    let Some(order) = order else { return Ok(()) };
                    if let HostFrame::Config(config) = &order {
                        self.config = (**config).clone();
                    }
                    connection.say(&order)?;
                }
                Some(opening) = self.openings.recv(), if idle && connection.greeted => {
                    if let Some(open) = connection.streams.begin(opening) {
                        connection.say(&open)?;
                    }
                }
                input = connection.streams.next(), if idle => connection.say(&input)?,
                () = at(self.keeper.due()), if idle => {
                    if let Some(held) = self.keeper.acknowledgement() {
                        connection.say(&held)?;
                    }
                }
                () = at(connection.time_due), if idle => {
                    connection.say(&HostFrame::Time { unix_ns: unix_ns() })?;
                    connection.time_due = Some(Instant::now() + TIME_EVERY);
                }
                // A guest that is up may have answered while its kernel still held the port for disconnected, and
                // the answer was lost. One that is still booting reads the greeting once more, which changes nothing.
                () = sleep(patience), if idle && !connection.heard => {
                    patience = (patience * 2).min(LONGEST_PATIENCE);
                    connection.outgoing = self.greeting()?;
                }
            }
        }
    }

    fn greeting(&self) -> Result<Vec<u8>, TalkError> {
        let mut seed = Seed([0; 32]);
        let seeded = getrandom::fill(&mut seed.0);
        let hello = HostHello {
            protocol_min: PROTOCOL.0,
            protocol_max: PROTOCOL.1,
            host_time_unix_ns: unix_ns(),
            seed: seeded.is_ok().then_some(seed),
        };
        let mut bytes = Encoder.encode(&HostFrame::Hello(hello))?;
        bytes.extend(Encoder.encode(&HostFrame::Config(Box::new(self.config.clone())))?);
        Ok(bytes)
    }

    fn hear(&mut self, connection: &mut Connection) -> Result<(), TalkError> {
        while let Some(frame) = connection.decoder.next_frame() {
            match frame {
                Ok(frame) => self.heard(frame, connection)?,
                Err(error) => {
                    tracing::debug!(vm.id = %self.vm, %error, "a frame of the guest is passed over")
                }
            }
        }
        Ok(())
    }

    fn heard(&mut self, frame: GuestFrame, connection: &mut Connection) -> Result<(), TalkError> {
        match frame {
            GuestFrame::Hello(hello) => {
                connection.greeted = true;
                let understands = agree(hello.protocol_min, hello.protocol_max) >= Some(TIME_SINCE);
                connection.time_due = understands.then(Instant::now);
                self.greeted(&hello);
            }
            GuestFrame::Stage { name, at } => {
                tracing::debug!(vm.id = %self.vm, stage = name, at_ms = at.as_millis(), "the guest boots");
                self.state.send_modify(|state| state.stage = Some(name));
            }
            GuestFrame::Ready(ready) => {
                // A clock that is ahead is believed to be when two messages say so, and people come now.
                connection.time_due = connection.time_due.map(|_| Instant::now());
                self.state.send_modify(|state| state.ready = Some(ready));
            }
            GuestFrame::ConfigApplied { revision } => self.state.send_modify(|state| {
                if let Some(ready) = &mut state.ready {
                    ready.config_revision = revision;
                }
            }),
            GuestFrame::Failed { code, message } => {
                tracing::warn!(vm.id = %self.vm, code, message, "the guest failed");
                self.state
                    .send_modify(|state| state.failed = Some((code, message)));
            }
            GuestFrame::PoweredOff { kind } => {
                self.state.send_modify(|state| state.powered_off = Some(kind));
            }
            GuestFrame::Service(seen) => {
                let seen = shortened(seen);
                self.state.send_modify(|state| state.service = Some(seen));
            }
            GuestFrame::Usage(usage) => {
                let now = Instant::now();
                self.state.send_modify(|state| state.usage = Some((now, usage)));
            }
            GuestFrame::Log(part) if connection.greeted => self.keeper.take(&part),
            GuestFrame::Output { stream, output } if connection.greeted => {
                if let Some(answer) = connection.streams.hear(stream, output) {
                    connection.say(&answer)?;
                }
            }
            GuestFrame::Stopping
            | GuestFrame::Pong { .. }
            | GuestFrame::Log(_)
            | GuestFrame::Output { .. } => {}
        }
        Ok(())
    }

    fn greeted(&mut self, hello: &GuestHello) {
        tracing::debug!(vm.id = %self.vm, version = hello.powerunit_version, "the guest said hello");
        self.keeper.greeted(&hello.boot_id);
        let protocol = agree(hello.protocol_min, hello.protocol_max);
        self.state.send_modify(|state| {
            state.protocol = protocol;
            if protocol.is_none() {
                let message = format!(
                    "its init speaks protocol {} to {}, this host {} to {}",
                    hello.protocol_min, hello.protocol_max, PROTOCOL.0, PROTOCOL.1
                );
                state.failed = Some(("protocol".into(), message));
            }
        });
    }
}

impl Connection {
    fn new() -> Self {
        Self {
            decoder: Decoder::default(),
            outgoing: Vec::new(),
            streams: Streams::new(),
            heard: false,
            greeted: false,
            time_due: None,
        }
    }

    fn say(&mut self, frame: &HostFrame) -> Result<(), TooLong> {
        self.outgoing.extend(Encoder.encode(frame)?);
        Ok(())
    }

    /// What is left of it is given back, so that an idle channel holds next to nothing.
    fn sent(&mut self, count: usize) {
        self.outgoing.drain(..count);
        if self.outgoing.is_empty() {
            self.outgoing = Vec::new();
        }
    }
}

/// The host's wall clock, nanoseconds since 1970.
fn unix_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or_default()
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// A guest says what it likes, and this goes into every report.
fn shortened(mut seen: ServiceSeen) -> ServiceSeen {
    if let Some(message) = &mut seen.message {
        message.truncate(message.floor_char_boundary(LONGEST_SENTENCE));
    }
    seen
}
