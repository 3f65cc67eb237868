//! Control against hosts that keep the rules, step by step: no task runs by itself here, so every test says exactly
//! what happens in which order. `tests/running.rs` shows the same with the reconcilers running.

mod events;
mod host;
mod lifecycle;
mod placing;
mod properties;
mod restored;
mod rules;
mod signing_in;
pub(crate) mod world;
