//! A stream between this terminal, or these pipes, and a VM.
//!
//! ```text
//!   standard input · terminal size · signals ──► inputs ──► the stream
//!   standard output · standard error  ◄─────────────────── the stream ──► how it ended
//! ```
//!
//! Both directions run at once, and a slow reader of our output never keeps us from saying that we are there: a sign of
//! life goes out every 15 s.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use api::ClientError;
use api::client::{Stream, StreamReader, StreamWriter};
use api::frame::{End, Input, Output};
use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::escape::Escapes;
use crate::failure::Failure;
use crate::impatience::Impatience;
use crate::terminal::{self, RawMode};

const SIGINT: i32 = 2;

/// Three of them fit into the silence that a server allows.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(15);

/// What becomes of the VM's standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stdin {
    /// It is ours.
    Passed,
    /// It is empty.
    Empty,
    /// Nothing is said about it.
    Unsaid,
}

/// What of this terminal takes part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    /// What becomes of standard input.
    pub(crate) input: Stdin,
    /// Whether the VM's side has a terminal, whose size follows ours.
    pub(crate) tty: bool,
    /// Whether standard input, a terminal, passes every key on.
    pub(crate) raw: bool,
    /// Whether signals sent to pwctl are for the program; else they end pwctl.
    pub(crate) signals: bool,
    /// Whether escapes leave.
    pub(crate) escapes: bool,
    /// Whether a second Ctrl-C leaves, where the program does not heed the first.
    pub(crate) impatient: bool,
}

/// How a session ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// As the VM says.
    Stream(End),
    /// The person has left.
    Left,
    /// By a signal for pwctl itself.
    Signalled(i32),
    /// Nobody reads the output any more.
    Unread,
}

/// Runs until the stream ends, or this side leaves.
pub(crate) async fn run(stream: Stream, setup: Setup) -> Result<Ended, Failure> {
    let Stream {
        mut writer,
        mut reader,
    } = stream;
    // Both directions are one task, so neither holds it while the other asks for it.
    let impatience = RefCell::new(Impatience::default());
    let mut inputs = Inputs::new(setup, &impatience)?;
    let ended = tokio::select! {
        ended = hear(&mut reader, &impatience) => return ended,
        ended = say(&mut inputs, &mut writer) => ended,
    };
    match ended {
        Ok(ended) => {
            writer.close().await;
            Ok(ended)
        }
        // The connection is gone; what came before that may still tell how the program ended.
        Err(error) => hear(&mut reader, &impatience).await.map_err(|_| error.into()),
    }
}

async fn hear(reader: &mut StreamReader, impatience: &RefCell<Impatience>) -> Result<Ended, Failure> {
    let mut out = tokio::io::stdout();
    let mut err = tokio::io::stderr();
    loop {
        let written = match reader.next().await? {
            Output::Stdout(bytes) => {
                impatience.borrow_mut().answered(&bytes);
                write(&mut out, &bytes).await
            }
            Output::Stderr(bytes) => write(&mut err, &bytes).await,
            Output::Ended(end) => return Ok(Ended::Stream(end)),
        };
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Ended::Unread),
            Err(source) => return Err(Failure::Output { source }),
        }
    }
}

async fn write(out: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) -> io::Result<()> {
    out.write_all(bytes).await?;
    out.flush().await
}

async fn say(inputs: &mut Inputs<'_>, writer: &mut StreamWriter) -> Result<Ended, ClientError> {
    let first = Instant::now() + SIGN_OF_LIFE_EVERY;
    let mut life = interval_at(first, SIGN_OF_LIFE_EVERY);
    life.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            said = inputs.next() => match said {
                Said::Input(input) => writer.send(&input).await?,
                Said::Ended(ended) => return Ok(ended),
            },
            _ = life.tick() => writer.sign_of_life().await?,
        }
    }
}

enum Said {
    Input(Input),
    Ended(Ended),
}

/// Everything on this side that has something to say.
struct Inputs<'a> {
    setup: Setup,
    impatience: &'a RefCell<Impatience>,
    typed: Option<mpsc::Receiver<Vec<u8>>>,
    escapes: Escapes,
    resized: Signal,
    signals: Vec<(i32, Signal)>,
    /// Said before anything else.
    first: Option<Input>,
    /// Said once what is typed before it has been.
    leaves: bool,
    /// The terminal is as it was once this is gone.
    _raw: Option<RawMode>,
}

impl<'a> Inputs<'a> {
    /// Listens for signals before the terminal changes: one that came between would leave it raw.
    fn new(setup: Setup, impatience: &'a RefCell<Impatience>) -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|source| Failure::Runtime { source });
        // On a raw terminal the first three come as keys, and a signal is meant for pwctl.
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::quit(),
            SignalKind::hangup(),
            SignalKind::terminate(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
        ];
        let kinds = kinds.iter().take(if setup.signals { 6 } else { 4 });
        let signals = kinds
            .map(|&kind| Ok((kind.as_raw_value(), listen(kind)?)))
            .collect::<Result<_, Failure>>()?;
        let resized = listen(SignalKind::window_change())?;
        let raw = match setup.raw {
            true => Some(RawMode::enter().map_err(|source| Failure::Terminal { source })?),
            false => None,
        };
        Ok(Self {
            setup,
            impatience,
            typed: (setup.input == Stdin::Passed).then(terminal::typed),
            first: (setup.input == Stdin::Empty).then_some(Input::End),
            escapes: Escapes::new(),
            resized,
            signals,
            leaves: false,
            _raw: raw,
        })
    }

    async fn next(&mut self) -> Said {
        if self.leaves {
            return Said::Ended(Ended::Left);
        }
        if let Some(first) = self.first.take() {
            return Said::Input(first);
        }
        loop {
            tokio::select! {
                piece = next_of(&mut self.typed) => return self.typed(piece),
                number = any_of(&mut self.signals) => return self.signalled(number),
                () = rests_until(self.impatience.borrow().ends_at(), self.setup.impatient) => {
                    // What was answered meanwhile counts.
                    let ends_at = self.impatience.borrow().ends_at();
                    if ends_at.is_some_and(|at| at <= Instant::now()) {
                        return Said::Ended(Ended::Signalled(SIGINT));
                    }
                }
                _ = self.resized.recv(), if self.setup.tty => {
                    if let Some((columns, rows)) = terminal::size() {
                        return Said::Input(Input::Resize { columns, rows });
                    }
                }
            }
        }
    }

    fn signalled(&self, number: i32) -> Said {
        let leaves = number == SIGINT && self.setup.impatient && self.impatience.borrow_mut().signalled();
        match self.setup.signals && !leaves {
            true => Said::Input(Input::Signal(number)),
            false => Said::Ended(Ended::Signalled(number)),
        }
    }

    fn typed(&mut self, piece: Option<Vec<u8>>) -> Said {
        let Some(piece) = piece else {
            self.typed = None;
            return Said::Input(Input::End);
        };
        if self.setup.raw {
            self.impatience.borrow_mut().typed(&piece, Instant::now());
        }
        if !self.setup.escapes {
            return Said::Input(Input::Data(piece.into()));
        }
        let typed = self.escapes.take(&piece);
        self.leaves = typed.leaves;
        Said::Input(Input::Data(typed.bytes.into()))
    }
}

/// Ends at that time; never, where there is none or nobody asks.
async fn rests_until(at: Option<Instant>, is_asked: bool) {
    match at.filter(|_| is_asked) {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The next piece; never, where nothing is passed on or it has ended.
async fn next_of(typed: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match typed {
        Some(typed) => typed.recv().await,
        None => std::future::pending().await,
    }
}

/// The number of the first signal that comes.
async fn any_of(signals: &mut [(i32, Signal)]) -> i32 {
    std::future::poll_fn(|context| {
        for (number, signal) in signals.iter_mut() {
            if signal.poll_recv(context).is_ready() {
                return std::task::Poll::Ready(*number);
            }
        }
        std::task::Poll::Pending
    })
    .await
}
