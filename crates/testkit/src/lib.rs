//! A whole cloud in one process, without root: the real router, a fresh database, the in-process bus, and hosts
//! whose orchestrator is real while their driver, their hands and their guests are simulated.
//!
//! ```text
//!   api::Client ─ HTTP on loopback ─ server ─ control ─ store (a temporary file)
//!                                               │ bus (in process)
//!                        orchestrator ─ Sim driver ─ SimGuest      × as many hosts as asked
//!                             └ SimHands
//! ```
//!
//! A test reads "create, let the host finish, expect RUNNING". A host can be told to hang, to fail at a step, to
//! lose its machines; it and the control plane can be ended and started again over what they remember.

mod cloud;
mod found;
mod guest;
mod host;
mod people;
mod until;

pub use cloud::Cloud;
pub use driver::sim::Step;
pub use guest::SimGuests;
pub use host::{SimHost, Size};
pub use until::until;

/// Whatever can go wrong while a test's cloud is set up; a test has nothing better to do than to fail with it.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;
