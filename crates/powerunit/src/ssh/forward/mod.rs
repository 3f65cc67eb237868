//! What a connection carries besides sessions: TCP connections and UNIX sockets in both directions, and the client's
//! key agent (RFC 4254 section 7; OpenSSH's PROTOCOL, sections 2.4 and 2.5).
//!
//! ```text
//!   the client asks                     here                                  in the VM
//!   direct-tcpip, direct-streamlocal ─► target ── names, connect ───────────► a program that listens
//!   tcpip-forward, streamlocal-… ─────► listen ◄── accept ─────────────────── a program that connects
//!        forwarded-tcpip, … ◄──────────────┘
//!   auth-agent-req ───────────────────► agent: a listening socket in a private directory ◄── ssh, git
//!
//!   every stream:   channel ◄── relay ──► socket
//! ```
//!
//! Always holds:
//!
//! - Sockets are made as the user, so a path, a low port and whoever looks at the socket's owner see the user's rights.
//! - Nothing outlives its connection: listeners close, streams end, and files of sockets are removed, as the user.
//! - A stream costs no more than what [`Gate`] and the library's bounded queues allow.

mod agent;
mod dns;
mod listen;
mod names;
mod relay;
mod target;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use russh::server::{ChannelOpenHandle, Handle, Msg};
use russh::{Channel, ChannelOpenFailure};
use tokio::sync::Semaphore;

use super::accounts::Account;
use super::gate::Gate;
use agent::Agent;
use listen::Listening;
pub(super) use target::Target;

/// Streams at once on one connection. A browser behind `-D` uses some dozens; each costs two descriptors and, while it
/// moves data, a few packets.
const MOST_STREAMS: usize = 512;
/// Listening sockets on one connection.
const MOST_LISTENERS: usize = 64;

/// What a client asked to listen on, as it said it: that is also how it names it when it wants it gone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Tcp { address: String, port: u16 },
    Unix(String),
}

/// The forwarding of one connection; dropped with it.
#[derive(Debug)]
pub(super) struct Forwards {
    streams: Streams,
    listening: HashMap<Place, Listening>,
    agent: Option<Agent>,
}

/// What every stream of a connection needs.
#[derive(Debug, Clone)]
struct Streams {
    gate: Arc<Gate>,
    free: Arc<Semaphore>,
}

impl Forwards {
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        Self {
            streams: Streams {
                gate,
                free: Arc::new(Semaphore::new(MOST_STREAMS)),
            },
            listening: HashMap::new(),
            agent: None,
        }
    }

    /// Connects to the target as the account and joins it to the channel; the client hears of a failure.
    pub(super) async fn connect(
        &self,
        channel: Channel<Msg>,
        target: Target,
        account: Account,
        reply: ChannelOpenHandle,
    ) {
        let Ok(permit) = Arc::clone(&self.streams.free).try_acquire_owned() else {
            return reply.reject(ChannelOpenFailure::ResourceShortage).await;
        };
        let gate = Arc::clone(&self.streams.gate);
        tokio::spawn(async move {
            match target.connect(&account).await {
                Ok(socket) => {
                    reply.accept().await;
                    relay::join(channel, socket, gate).await;
                }
                Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            }
            drop(permit);
        });
    }

    /// Listens on a TCP port or a UNIX socket as the account; the port that was taken where the client left it open
    /// (0), and `None` where it cannot be.
    pub(super) async fn listen(&mut self, place: Place, account: &Account, client: Handle) -> Option<Place> {
        if self.listening.len() >= MOST_LISTENERS {
            return None;
        }
        let (place, listening) = listen::start(place, account, client, self.streams.clone())
            .await
            .ok()?;
        self.listening.insert(place.clone(), listening);
        Some(place)
    }

    /// Stops listening; whether there was such a place. Streams that began there go on.
    pub(super) fn cancel(&mut self, place: &Place) -> bool {
        self.listening.remove(place).is_some()
    }

    /// The socket by which programs of the account reach the client's agent; one for the whole connection.
    pub(super) async fn agent(&mut self, account: &Account, client: Handle) -> Option<PathBuf> {
        if self.agent.is_none() {
            self.agent = Agent::start(account, client, self.streams.clone()).await.ok();
        }
        self.agent.as_ref().map(|agent| agent.path().to_owned())
    }
}
