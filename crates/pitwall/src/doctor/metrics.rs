//! The listener of the metrics.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::finding::{Finding, bad, well};
use crate::config::Settings;

/// How long it may take to answer: it reads a few rows.
const LIMIT: Duration = Duration::from_secs(5);
/// What every answer that is good begins with.
const GOOD: &str = "HTTP/1.1 200 ";

/// Whether they are served, where the settings want it. `runs` is whether pitwall does.
pub(super) async fn look(settings: &Settings, runs: bool) -> Option<Finding> {
    let Some(address) = settings.door.metrics_listen else {
        return Some(well("metrics", "are served nowhere, as the settings say"));
    };
    let asked = tokio::time::timeout(LIMIT, ask(address)).await;
    judge(
        address,
        asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        runs,
    )
}

/// The first line of what it answers.
async fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(GOOD.len() as u64).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Pure: what its answer means. Nothing is said of metrics that nobody serves because pitwall does not run.
fn judge(address: SocketAddr, answer: io::Result<String>, runs: bool) -> Option<Finding> {
    const WHAT: &str = "metrics";
    match (answer, runs) {
        (Ok(answer), true) if answer == GOOD => Some(well(WHAT, format!("are served on {address}"))),
        (Ok(answer), true) => Some(bad(
            WHAT,
            format!("{address} answers {answer:?}, not with metrics"),
            "look at pitwall's log, or choose another port with metrics_listen",
        )),
        (Ok(_), false) => Some(bad(
            WHAT,
            format!("another program listens on {address}, so pitwall could not start"),
            format!(
                "ss -ltnp 'sport = :{}'; or choose another port with metrics_listen",
                address.port()
            ),
        )),
        (Err(error), true) => Some(bad(
            WHAT,
            format!("{address} does not answer: {error}"),
            "look at pitwall's log; start it again where its settings were changed",
        )),
        (Err(_), false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_missed_only_where_pitwall_runs() {
        let address = SocketAddr::from(([127, 0, 0, 1], 7481));
        let refused = || Err(io::Error::from(io::ErrorKind::ConnectionRefused));
        let ok = |finding: Option<Finding>| finding.map(|finding| finding.ok);
        assert_eq!(ok(judge(address, Ok(GOOD.to_owned()), true)), Some(true));
        assert_eq!(
            ok(judge(address, Ok("HTTP/1.1 404 ".to_owned()), true)),
            Some(false)
        );
        assert_eq!(ok(judge(address, refused(), true)), Some(false));
        assert_eq!(ok(judge(address, refused(), false)), None);
        assert_eq!(ok(judge(address, Ok(GOOD.to_owned()), false)), Some(false));
    }
}
