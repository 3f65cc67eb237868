//! An orchestrator alone, told by plans and heard by reports: what is done again (a boot, a disk) is done once, however
//! often and in whatever order it is said, and wherever the orchestrator is killed in between.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod counters;
mod guest;
mod host;
mod layout;
mod sessions;
mod turns;
