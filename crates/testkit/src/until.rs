//! Waiting for a condition, never for a while.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use crate::Fault;

/// Longer than anything simulated takes on a busy machine; only a failing test waits this long.
const LIMIT: Duration = Duration::from_secs(60);

/// Looks again and again until `holds` is true of what `look` gives, and gives that.
///
/// # Errors
/// It did not become true in time; the error says what was last seen.
pub async fn until<T: Debug, F: Future<Output = Result<T, E>>, E: Debug>(
    what: &str,
    mut look: impl FnMut() -> F,
    holds: impl Fn(&T) -> bool,
) -> Result<T, Fault> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let seen = look().await;
        match seen {
            Ok(value) if holds(&value) => return Ok(value),
            seen if Instant::now() >= deadline => {
                return Err(format!("not in time: {what}; last seen: {seen:?}").into());
            }
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
