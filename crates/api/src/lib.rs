//! The HTTP contract: paths, shapes, problems, the OpenAPI document, and the client that speaks it.
//!
//! ```text
//!   vms.rs · events.rs · logs.rs · exec.rs · hosts.rs …     a file per resource: shapes and endpoints
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
//! - A list is `{"items": […], "next": …}`; `next` is the cursor of the next page, null at the end.
//! - What goes wrong is a [`ProblemDocument`]; [`code_row`] is the one table from its code to HTTP and exit status.

pub mod actions;
pub mod audit;
pub mod client;
pub mod console;
mod endpoint;
pub mod events;
pub mod exec;
mod exit;
pub mod files;
pub mod frame;
mod headers;
pub mod hosts;
pub mod images;
mod key_line;
pub mod keys;
mod links;
pub mod lists;
pub mod logs;
mod object;
mod openapi;
mod options;
mod problem;
pub mod problems;
pub mod quotas;
mod registry_auth;
pub mod service;
pub mod shares;
pub mod teams;
pub mod tokens;
pub mod users;
mod vm;
pub mod vms;
pub mod wait;

pub use actions::{ExtendVm, RebuildVm, ResizeVm};
pub use audit::{AuditEntry, AuditList, AuditQuery};
pub use client::{Client, ClientConfig, ClientError, is_this_machine};
pub use console::ConsoleQuery;
pub use endpoint::{
    Access, Answer, BYTES_MEDIA_TYPE, Content, Endpoint, IDEMPOTENCY_KEY, JSON_MEDIA_TYPE, LINES_MEDIA_TYPE,
    MERGE_PATCH_MEDIA_TYPE, Query, QueryKind, Shape, TAR_MEDIA_TYPE, endpoints,
};
pub use events::{Event, EventQuery};
pub use exec::{CreateExec, Exec, Terminal};
pub use exit::ExitCode;
pub use files::FilesQuery;
pub use hosts::{Adopt, FoundList, FoundVm, Host, HostList, Resources};
pub use images::{Image, ImageList};
pub use keys::{CreateSshKey, SshKey, SshKeyList};
pub use lists::{MAX_LIMIT, PageQuery};
pub use logs::{LogQuery, LogRecord};
pub use openapi::{OPENAPI_JSON, openapi};
pub use options::{CreateService, Service};
pub use problem::{CodeRow, PROBLEM_MEDIA_TYPE, ProblemDocument, code_row};
pub use problems::{ProblemPage, ProblemPageList};
pub use quotas::{PutQuota, Quota, QuotaLimits, QuotaList, QuotaUse};
pub use registry_auth::RegistryAuth;
pub use service::{Health, Version};
pub use shares::{PutShare, RightName, Share, ShareList, Transfer};
pub use teams::{CreateTeam, HeirQuery, Member, MemberList, PutMember, Team, TeamList, TeamRoleName};
pub use tokens::{CreateLogin, CreateToken, Token, TokenList};
pub use users::{ChangeUser, CreateUser, Me, MyTeam, MyToken, User, UserList};
pub use vm::{Reason, Stage, Vm, VmStatus};
pub use vms::{ChangeService, ChangeVm, CreateVm, VmList, VmQuery};
pub use wait::{WaitQuery, Waited};

pub use model::{
    ByteSize, ExecId, HostId, ImageRef, ImageRefError, KeyError, ProblemCode, PublicKey, ReasonCode,
    RestartPolicy, SizeError, Status, VmId, VmName,
};
