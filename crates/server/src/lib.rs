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

mod access;
mod actions;
mod address;
mod audit;
mod auth;
mod body;
mod change_vm;
mod console;
mod edges;
mod envelope;
mod events;
mod exec;
mod files;
mod flows;
mod hosts;
mod if_match;
mod images;
mod keys;
mod logs;
mod markdown;
mod metrics;
mod once;
mod places;
mod problems;
mod query;
mod quotas;
mod rates;
mod refusal;
mod relay;
mod router;
mod serve;
mod service;
mod shares;
mod stall;
mod teams;
mod tls;
mod tokens;
mod trace;
mod users;
mod vm_query;
mod vms;
mod wait;
mod waiting;

pub use address::{Network, NetworkError};
pub use edges::{Edges, Limits};
pub use metrics::{Metrics, MetricsError, serve_metrics};
pub use rates::{Rate, Rates};
pub use router::router;
pub use serve::{Door, serve};
pub use tls::{Tls, TlsError, TlsFiles};
