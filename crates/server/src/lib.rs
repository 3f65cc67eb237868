//! The door: HTTP in, use cases called, HTTP out. It decides nothing.
//!
//! ```text
//!   serve ─► envelope ─► router ─► handler: parse, authorise, call, answer ─► control
//!               ▲                      │
//!               └── request id, log line, panics, problem documents
//! ```
//!
//! Handlers stand in a file per resource and are mounted from `api`'s list of endpoints, so a path is written down
//! once. A request that becomes a WebSocket is handed to a relay, which outlives its handler. What goes wrong leaves a handler as a [`Refusal`]; the envelope alone turns it into a problem document.
//!
//! What always holds: every refusal is `application/problem+json` with the request's id, axum's own included; a
//! token is in no log line; a panic ends one request and nothing else.

mod auth;
mod body;
mod console;
mod envelope;
mod events;
mod exec;
mod files;
mod hosts;
mod images;
mod logs;
mod query;
mod refusal;
mod relay;
mod router;
mod serve;
mod service;
mod vms;
mod waiting;

pub use router::router;
pub use serve::serve;
