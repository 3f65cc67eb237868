//! The words of Pitwall: typed ids, names, sizes, what is asked of a VM, what was seen of it, and the one
//! function that turns the two into the status people read.
//!
//! This room does no I/O and knows no clock: time and randomness arrive as arguments. Every value here is
//! checked once, where it is made from raw text or numbers; beyond that line nobody checks again.

mod action;
mod id;
mod image_ref;
mod key;
mod lifecycle;
mod name;
mod net;
mod options;
mod people;
mod problem;
mod quota;
mod reason;
mod request;
mod secret;
mod size;
mod vm;

pub use action::{Action, Misfit, Verdict, status_for_action, table as action_table, verdict};
pub use id::{ExecId, HostId, IdError, InstallationId, SecretId, TeamId, TokenId, UserId, VmId};
pub use image_ref::{Digest, ImageRef, ImageRefError, OciLayout, RegistryRef, Selector};
pub use key::{KeyError, PublicKey};
pub use lifecycle::{Status, StatusView, status};
pub use name::{HostName, NameError, PrincipalName, VmName};
pub use net::{MacAddr, Subnet, SubnetError};
pub use options::{
    ProgramEnd, RestartPolicy, RestartPolicyError, ServiceAsk, ServiceSeen, ServiceState, VmOptions,
};
pub use people::{PrincipalId, Right, Role, Scope, TeamRole, WordError};
pub use problem::{Problem, ProblemCode};
pub use quota::{Limits, PerResource, QuotaExceeded, QuotaScope, Resource, Usage, within_quota};
pub use reason::{Reason, ReasonCode, Retry};
pub use request::{RequestId, RequestIdError};
pub use secret::{RegistryCredentials, SecretRef};
pub use size::{ByteSize, SizeError};
pub use vm::{Asked, Capacity, Feature, HeldImage, Idle, Phase, Power, Seen, Stage, VmBody};
