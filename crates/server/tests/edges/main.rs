//! The server's edges, over real connections.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod health;
mod limits;
mod log;
mod metrics;
mod rates;
mod served;
mod tls;
mod traces;
