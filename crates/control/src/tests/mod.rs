//! Control against hosts that keep the rules, step by step: no task runs by itself here, so every test says exactly
//! what happens in which order. `tests/running.rs` shows the same with the reconcilers running.

mod accounts;
mod actions;
mod audit;
mod events;
mod host;
mod life;
mod lifecycle;
mod lists;
mod matrix;
mod once;
mod people;
mod placing;
mod properties;
mod quotas;
mod restored;
mod rules;
mod secrets;
mod sessions;
mod signing_in;
mod waiting;
pub(crate) mod world;
