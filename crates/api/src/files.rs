//! Files of a VM: `/v1/vms/{vm}/files`, as tar archives (POSIX pax, ustar or GNU).

use http::Method;
use model::{ProblemCode, Scope};
use serde::{Deserialize, Serialize};

use crate::endpoint::{Query, QueryKind};
use crate::{Access, Answer, Content, Endpoint};

/// Which files are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesQuery {
    /// An absolute path in the VM.
    pub path: String,
}

const PROBLEMS: &[ProblemCode] = &[
    ProblemCode::NotFound,
    ProblemCode::NotPermitted,
    ProblemCode::InvalidRequest,
    ProblemCode::InvalidValue,
    ProblemCode::WrongStatus,
    ProblemCode::Unsupported,
    ProblemCode::Busy,
    ProblemCode::GuestFailed,
];

const WRITE_PROBLEMS: &[ProblemCode] = &[
    ProblemCode::UnsupportedMediaType,
    ProblemCode::NotFound,
    ProblemCode::NotPermitted,
    ProblemCode::InvalidRequest,
    ProblemCode::InvalidValue,
    ProblemCode::WrongStatus,
    ProblemCode::Unsupported,
    ProblemCode::Busy,
    ProblemCode::GuestFailed,
];

/// Reads files.
pub const READ: Endpoint = Endpoint {
    method: Method::GET,
    path: "/v1/vms/{vm}/files",
    operation_id: "vm_files_read",
    summary: "Read a file or folder of a VM, as a tar archive",
    access: Access::Scope(Scope::VmUse),
    query: &[Query {
        name: "path",
        description: "What to read, an absolute path; its last part is the name in the archive",
        kind: QueryKind::Path,
        required: true,
    }],
    request: None,
    answers: &[Answer {
        status: 200,
        description: "The archive. A failure on the way breaks the connection off, so a whole body is a whole archive",
        content: Content::Tar,
    }],
    problems: PROBLEMS,
};

/// Writes files.
pub const WRITE: Endpoint = Endpoint {
    method: Method::PUT,
    path: "/v1/vms/{vm}/files",
    operation_id: "vm_files_write",
    summary: "Unpack a tar archive in a folder of a VM",
    access: Access::Scope(Scope::VmUse),
    query: &[Query {
        name: "path",
        description: "The folder to unpack in, an absolute path; it must exist",
        kind: QueryKind::Path,
        required: true,
    }],
    request: Some(Content::Tar),
    answers: &[Answer {
        status: 204,
        description: "All of it is there",
        content: Content::Nothing,
    }],
    problems: WRITE_PROBLEMS,
};

pub(crate) const ENDPOINTS: &[&Endpoint] = &[&READ, &WRITE];
