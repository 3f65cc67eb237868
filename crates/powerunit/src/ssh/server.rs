//! Accepts connections: not too many, and none that never says who it is.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use russh::server::run_stream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::auth::Authority;
use super::client::Client;
use super::environment::Ends;
use super::gate::{Gate, Gated};
use super::settings::Settings;

/// Connections at once; each costs about 40 KB. Further ones wait in the listening socket.
const MOST_CONNECTIONS: usize = 256;
/// From the first byte to a good key: a person may have to type a passphrase or touch a token.
const LOGIN_WITHIN: Duration = Duration::from_secs(120);

/// Accepts for as long as the process lives.
pub(super) async fn accept(listener: TcpListener, current: watch::Receiver<Option<Arc<Settings>>>) {
    let free = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let authority = Authority::new(current.clone());
                tokio::spawn(async move {
                    // A connection that fails is its client's business.
                    let _ = serve(stream, authority).await;
                    drop(permit);
                });
            }
            // Out of descriptors or memory: what is open will close.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn serve(stream: TcpStream, authority: Authority) -> Result<(), russh::Error> {
    let Some(settings) = authority.settings() else {
        return Ok(());
    };
    stream.set_nodelay(true)?;
    let ends = Ends {
        client: stream.peer_addr()?,
        server: stream.local_addr()?,
    };
    let gate = Arc::new(Gate::default());
    let inside = Arc::new(AtomicBool::new(false));
    let client = Client::new(authority, ends, Arc::clone(&gate), Arc::clone(&inside));
    let protocol = Arc::clone(&settings.protocol);
    let running = run_stream(protocol, Gated::new(stream, Arc::clone(&gate)), client);
    let mut running = timeout(LOGIN_WITHIN, running)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    tokio::select! {
        result = &mut running => return result,
        () = sleep(LOGIN_WITHIN) => {}
    }
    if !inside.load(Ordering::Relaxed) {
        gate.cut();
    }
    running.await
}
