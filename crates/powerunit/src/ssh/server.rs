//! Accepts connections: not too many, and none that never says who it is (see [`super::lobby`]).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use russh::server::run_stream;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::auth::{Authority, Entrance};
use super::client::Client;
use super::environment::Ends;
use super::gate::{Gate, Gated};
use super::lobby::{Limits, Lobby, Place};

/// Accepts for as long as the process lives.
pub(super) async fn accept(listener: TcpListener, authority: Authority, limits: Limits) {
    let lobby = Arc::new(Lobby::new(limits));
    loop {
        match admit(&listener, &lobby).await {
            Ok((stream, connection, place)) => {
                let (authority, lobby) = (authority.clone(), Arc::clone(&lobby));
                tokio::spawn(async move {
                    let number = place.number();
                    let mut serving = std::pin::pin!(serve(stream, authority, place));
                    // A connection that fails is its client's business.
                    tokio::select! {
                        _ = &mut serving => {}
                        () = sleep(limits.login_within) => {
                            lobby.cut(number);
                            let _ = serving.await;
                        }
                    }
                    drop(connection);
                });
            }
            // Out of descriptors or memory: what is open will close.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn admit(
    listener: &TcpListener,
    lobby: &Arc<Lobby>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit, Place)> {
    let (stream, _) = listener.accept().await?;
    let (connection, place) = lobby.enter(&stream).await?;
    Ok((stream, connection, place))
}

async fn serve(stream: TcpStream, authority: Authority, place: Place) -> Result<(), russh::Error> {
    let Some(settings) = authority.settings() else {
        return Ok(());
    };
    stream.set_nodelay(true)?;
    let ends = Ends {
        client: stream.peer_addr()?,
        server: stream.local_addr()?,
    };
    let gate = Arc::new(Gate::default());
    let stream = Gated::new(place.meter(stream), Arc::clone(&gate));
    let entrance = Entrance::new(authority.clone(), ends.client.ip().to_canonical(), place);
    let protocol = settings.protocol(entrance.delay());
    let client = Client::new(authority, ends, gate, entrance);
    run_stream(Arc::new(protocol), stream, client).await?.await
}
