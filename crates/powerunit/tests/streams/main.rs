//! One stream each, as an ordinary process: what PID 1 relays, without PID 1.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod copy;
mod exec;
mod process;
