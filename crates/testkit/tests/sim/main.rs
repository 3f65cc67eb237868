//! A whole cloud in one process, with hosts that can fail, hang, forget and come back.
//!
//! Everything but machines, networks and guests is the real thing, so what holds here holds for the system; the few
//! tests with real machines are the program's own.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

mod faults;
mod images;
mod keys;
mod lifecycle;
mod logs;
mod plans;
mod private;
mod random;
mod requests;
mod restarts;
mod streams;
