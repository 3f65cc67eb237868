//! The host's end of a guest's control channel.
//!
//! One task per running VM connects, says hello and the whole configuration, and keeps the newest state of the
//! guest where the VM's task can see it. When the channel ends it connects again and says everything again; the
//! guest answers with its present state, so neither side has to remember what the other heard.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use driver::{ControlStream, Driver};
use model::VmId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use wire::guest::{
    Config, Decoder, Encoder, GuestFrame, HostFrame, HostHello, PROTOCOL, PowerOffKind, Ready, agree,
};

/// Between attempts to connect: short at first, as the VMM makes its sockets within milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Until a greeting that was not answered is said again. Too short fills the port of a guest that boots slowly.
const FIRST_PATIENCE: Duration = Duration::from_millis(300);
const LONGEST_PATIENCE: Duration = Duration::from_secs(5);

/// How long a channel may take to give its last bytes once its VMM has ended; they are in the socket already.
const LAST_WORD: Duration = Duration::from_secs(1);

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
    /// Its channel is open, so there may be more to hear.
    connected: bool,
}

/// The channel of one running VM; dropping it ends the task.
pub(crate) struct GuestLink {
    state: watch::Receiver<GuestState>,
    orders: mpsc::Sender<HostFrame>,
    task: tokio::task::AbortHandle,
}

impl GuestLink {
    /// Connects to the guest and keeps connecting.
    pub(crate) fn open(driver: Arc<dyn Driver>, vm: VmId, config: Config) -> Self {
        let (state_sender, state) = watch::channel(GuestState::default());
        let (orders, orders_receiver) = mpsc::channel(8);
        let talk = Talk {
            driver,
            vm,
            config,
            state: state_sender,
            orders: orders_receiver,
        };
        let task = tokio::spawn(talk.run()).abort_handle();
        Self { state, orders, task }
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
        self.task.abort();
    }
}

struct Talk {
    driver: Arc<dyn Driver>,
    vm: VmId,
    config: Config,
    state: watch::Sender<GuestState>,
    orders: mpsc::Receiver<HostFrame>,
}

/// Why one connection ended.
#[derive(Debug, thiserror::Error)]
enum TalkError {
    #[error("the control channel ended")]
    Io(#[from] std::io::Error),
    #[error("a frame is too long to be sent")]
    TooLong(#[from] wire::guest::TooLong),
}

impl Talk {
    async fn run(mut self) {
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
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn speak(&mut self, mut stream: Box<dyn ControlStream>) -> Result<(), TalkError> {
        stream.write_all(&self.greeting()?).await?;
        let mut decoder = Decoder::<GuestFrame>::default();
        let mut buffer = vec![0; 4096];
        let mut heard = false;
        let mut patience = FIRST_PATIENCE;
        loop {
            tokio::select! {
                count = stream.read(&mut buffer) => {
                    let count = count?;
                    if count == 0 {
                        return Ok(());
                    }
                    heard = true;
                    decoder.push(buffer.get(..count).unwrap_or_default());
                    self.hear(&mut decoder);
                }
                order = self.orders.recv() => {
                    let Some(order) = order else { return Ok(()) };
                    if let HostFrame::Config(config) = &order {
                        self.config = (**config).clone();
                    }
                    stream.write_all(&Encoder.encode(&order)?).await?;
                }
                // A guest that is up may have answered while its kernel still held the port for disconnected, and
                // the answer was lost. One that is still booting reads the greeting once more, which changes nothing.
                () = tokio::time::sleep(patience), if !heard => {
                    patience = (patience * 2).min(LONGEST_PATIENCE);
                    stream.write_all(&self.greeting()?).await?;
                }
            }
        }
    }

    fn greeting(&self) -> Result<Vec<u8>, TalkError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let hello = HostHello {
            protocol_min: PROTOCOL.0,
            protocol_max: PROTOCOL.1,
            host_time_unix_ns: u64::try_from(now.as_nanos()).unwrap_or_default(),
            seed: None,
        };
        let mut bytes = Encoder.encode(&HostFrame::Hello(hello))?;
        bytes.extend(Encoder.encode(&HostFrame::Config(Box::new(self.config.clone())))?);
        Ok(bytes)
    }

    fn hear(&self, decoder: &mut Decoder<GuestFrame>) {
        while let Some(frame) = decoder.next_frame() {
            match frame {
                Ok(frame) => self.heard(frame),
                Err(error) => {
                    tracing::debug!(vm.id = %self.vm, %error, "a frame of the guest is passed over")
                }
            }
        }
    }

    fn heard(&self, frame: GuestFrame) {
        match frame {
            GuestFrame::Hello(hello) => {
                tracing::debug!(vm.id = %self.vm, version = hello.powerunit_version, "the guest said hello");
                if agree(hello.protocol_min, hello.protocol_max).is_none() {
                    let message = format!(
                        "its init speaks protocol {} to {}, this host {} to {}",
                        hello.protocol_min, hello.protocol_max, PROTOCOL.0, PROTOCOL.1
                    );
                    self.state
                        .send_modify(|state| state.failed = Some(("protocol".into(), message)));
                }
            }
            GuestFrame::Stage { name, at } => {
                tracing::debug!(vm.id = %self.vm, stage = name, at_ms = at.as_millis(), "the guest boots");
                self.state.send_modify(|state| state.stage = Some(name));
            }
            GuestFrame::Ready(ready) => self.state.send_modify(|state| state.ready = Some(ready)),
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
            GuestFrame::Stopping
            | GuestFrame::Pong { .. }
            | GuestFrame::Log(_)
            | GuestFrame::Service(_)
            | GuestFrame::Output { .. } => {}
        }
    }
}
