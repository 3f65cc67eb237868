//! Joins a channel and a socket, each direction for as long as it lasts.
//!
//! One half may end long before the other (`ssh -L` in front of a program that answers after end of file), so the end of
//! one direction is passed on and the other goes on. When the channel itself ends, what the client had sent is still
//! delivered: a client closes as soon as it has nothing more to say.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use russh::server::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::gate::{Chunk, Gate};
use super::super::pump::{self, Downlink, Lane};

/// How long a socket may take to accept the rest once the channel is gone.
const DELIVERED_WITHIN: Duration = Duration::from_secs(10);

/// A connected socket of either family.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Runs until both directions have ended or the channel is gone.
pub(super) async fn join(channel: Channel<Msg>, socket: Socket, gate: Arc<Gate>) {
    match socket {
        Socket::Tcp(socket) => {
            let (from, into) = socket.into_split();
            join_halves(channel, from, into, gate).await;
        }
        Socket::Unix(socket) => {
            let (from, into) = socket.into_split();
            join_halves(channel, from, into, gate).await;
        }
    }
}

async fn join_halves(
    channel: Channel<Msg>,
    from: impl AsyncRead + Unpin,
    into: impl AsyncWrite + Unpin,
    gate: Arc<Gate>,
) {
    let (read, write) = channel.split();
    let (input, queue) = mpsc::unbounded_channel();
    let downlink = Downlink {
        channel: write,
        gate: Arc::clone(&gate),
    };
    let down = async {
        // A socket that fails has nothing more to say, which is all a channel can pass on.
        let _ = downlink.copy(Lane::Output, from).await;
        let _ = downlink.channel.eof().await;
    };
    let mut feeding = pin!(pump::feed(queue, into));
    let mut delivered = false;
    let up = async {
        (&mut feeding).await;
        delivered = true;
    };
    tokio::select! {
        () = intake(read, input, &gate) => {}
        _ = async { tokio::join!(up, down) } => {}
    }
    if !delivered {
        let _ = timeout(DELIVERED_WITHIN, feeding).await;
    }
    // Only a request: the client may have closed it already.
    let _ = downlink.channel.close().await;
}

/// Empties the library's queue at once, since its loop stands still while one is full; ends with the channel.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other messages belong to sessions"
)]
async fn intake(mut from: ChannelReadHalf, input: mpsc::UnboundedSender<Chunk>, gate: &Arc<Gate>) {
    let mut input = Some(input);
    while let Some(message) = from.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                if let Some(input) = &input {
                    let _ = input.send(gate.chunk(data));
                }
            }
            ChannelMsg::Eof => input = None,
            ChannelMsg::Close => return,
            _ => {}
        }
    }
}
