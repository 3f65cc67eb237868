//! The HTTP contract: paths, shapes, problems, the OpenAPI document, and the client that speaks it.
//!
//! ```text
//!   vms.rs · events.rs · hosts.rs · images.rs · service.rs     a file per resource: shapes and endpoints
//!        │                 │                    │
//!        ▼                 ▼                    ▼
//!   openapi()          Client            the server's router      all three read the same list of endpoints
//! ```
//!
//! What always holds:
//!
//! - Requests are closed: a field that a request does not have is refused by name. Responses are open: a client
//!   ignores fields it does not know and keeps a word it does not know as text.
//! - Times are RFC 3339 in UTC, sizes whole bytes, durations seconds.
//! - A list is `{"items": […], "next": null}`; `next` is where a cursor stands once lists have pages.
//! - What goes wrong is a [`ProblemDocument`]; [`code_row`] is the one table from its code to HTTP and exit status.

pub mod client;
mod endpoint;
pub mod events;
mod exit;
pub mod hosts;
pub mod images;
mod openapi;
mod options;
mod problem;
pub mod service;
pub mod vms;

pub use client::{Client, ClientConfig, ClientError};
pub use endpoint::{Access, Answer, Content, Endpoint, Shape, endpoints};
pub use events::Event;
pub use exit::ExitCode;
pub use hosts::{Adopt, FoundList, FoundVm, Host, HostList, Resources};
pub use images::{Image, ImageList};
pub use openapi::{OPENAPI_JSON, openapi};
pub use options::{CreateService, Service};
pub use problem::{CodeRow, PROBLEM_MEDIA_TYPE, ProblemDocument, code_row};
pub use service::{Health, Version};
pub use vms::{CreateVm, Reason, Stage, Vm, VmList, VmStatus};

pub use model::{
    ByteSize, HostId, ImageRef, ImageRefError, KeyError, ProblemCode, PublicKey, ReasonCode, RestartPolicy,
    SizeError, Status, VmId, VmName,
};
