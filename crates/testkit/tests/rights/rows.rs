//! How each operation is called well.

use serde_json::{Value, json};

use crate::world::{FRIEND, KEY, Persona, World};

/// What the path of an operation names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thing {
    /// It names nothing.
    Nothing,
    /// A problem code.
    Code,
    /// A VM that runs, with a time to live, a lease, and a file in it.
    Vm,
    /// A VM, and a program in it that nobody attached to yet.
    Exec,
    /// A VM, and somebody it is shared with.
    Share,
    /// A team.
    Team,
    /// A team, and somebody in it.
    Member,
    /// The account of the rightful one.
    Account,
    /// A key of the rightful one.
    Key,
    /// A token of the rightful one.
    Token,
    /// A user that nobody needs.
    User,
    /// A host.
    Host,
    /// A host, and a VM that was found on it.
    Found,
}

/// What goes with the request.
pub(crate) enum Body {
    Nothing,
    Json(fn(&World) -> Value),
    Tar,
    /// A one-time code that nobody has used.
    Code,
    /// Nothing, and the connection is to become a WebSocket.
    WebSocket,
}

pub(crate) struct Row {
    pub(crate) operation: &'static str,
    pub(crate) rightful: Persona,
    pub(crate) thing: Thing,
    pub(crate) query: &'static str,
    pub(crate) body: Body,
    /// Whether the thing is another after a good call, so that the refused calls need one of their own.
    pub(crate) ends_it: bool,
}

impl Row {
    const fn new(operation: &'static str, rightful: Persona, thing: Thing) -> Self {
        Self {
            operation,
            rightful,
            thing,
            query: "",
            body: Body::Nothing,
            ends_it: false,
        }
    }

    const fn query(self, query: &'static str) -> Self {
        Self { query, ..self }
    }

    const fn body(self, body: Body) -> Self {
        Self { body, ..self }
    }

    const fn json(self, body: fn(&World) -> Value) -> Self {
        self.body(Body::Json(body))
    }

    const fn ends_it(self) -> Self {
        Self {
            ends_it: true,
            ..self
        }
    }
}

const fn of_vm(operation: &'static str) -> Row {
    Row::new(operation, Persona::Rightful, Thing::Vm)
}

const fn open(operation: &'static str) -> Row {
    Row::new(operation, Persona::Nobody, Thing::Nothing)
}

const fn of_account(operation: &'static str, thing: Thing) -> Row {
    Row::new(operation, Persona::Rightful, thing)
}

const fn listing(operation: &'static str) -> Row {
    Row::new(operation, Persona::Rightful, Thing::Nothing)
}

const fn for_admins(operation: &'static str, thing: Thing) -> Row {
    Row::new(operation, Persona::Admin, thing)
}

pub(crate) const ROWS: &[Row] = &[
    open("health"),
    open("ready"),
    open("version"),
    open("openapi"),
    open("problem_list"),
    Row::new("problem_get", Persona::Nobody, Thing::Code),
    listing("vm_create").json(wish),
    listing("vm_list"),
    of_vm("vm_get"),
    of_vm("vm_wait").query("for=RUNNING&timeout=0"),
    of_vm("vm_events"),
    of_vm("vm_logs"),
    of_vm("vm_exec_create").json(|_| json!({ "command": ["echo", "hello"] })),
    Row::new("vm_exec_attach", Persona::Rightful, Thing::Exec)
        .body(Body::WebSocket)
        .ends_it(),
    of_vm("vm_console").body(Body::WebSocket),
    of_vm("vm_files_read").query("path=/etc/hostname"),
    of_vm("vm_files_write").query("path=/srv").body(Body::Tar),
    of_vm("vm_change").json(|_| json!({ "keys": [KEY] })),
    of_vm("vm_start"),
    of_vm("vm_stop").ends_it(),
    of_vm("vm_restart"),
    of_vm("vm_rebuild").json(|_| json!({})),
    of_vm("vm_resize").json(|_| json!({ "cpus": 2, "restart": true })),
    of_vm("vm_extend").json(|_| json!({ "seconds": 60 })),
    of_vm("vm_lease"),
    of_vm("vm_delete").ends_it(),
    of_vm("vm_transfer").json(|_| json!({ "to": FRIEND })).ends_it(),
    of_vm("vm_share_list"),
    Row::new("vm_share_put", Persona::Rightful, Thing::Share).json(|_| json!({ "right": "manage" })),
    Row::new("vm_share_delete", Persona::Rightful, Thing::Share).ends_it(),
    listing("team_list"),
    for_admins("team_create", Thing::Nothing).json(|world| json!({ "name": world.name("team") })),
    of_account("team_get", Thing::Team),
    of_account("team_delete", Thing::Team).ends_it(),
    of_account("member_list", Thing::Team),
    of_account("member_put", Thing::Member).json(|_| json!({ "role": "owner" })),
    of_account("member_delete", Thing::Member).ends_it(),
    listing("me"),
    listing("user_list"),
    of_account("user_get", Thing::Account),
    for_admins("user_create", Thing::Nothing).json(|world| json!({ "name": world.name("user") })),
    for_admins("user_change", Thing::User).json(|_| json!({ "role": "admin" })),
    for_admins("user_disable", Thing::User),
    for_admins("user_enable", Thing::User),
    for_admins("user_code", Thing::User),
    for_admins("user_delete", Thing::User).ends_it(),
    of_account("key_list", Thing::Account),
    of_account("key_create", Thing::Account).json(|world| json!({ "key": world.key() })),
    of_account("key_get", Thing::Key),
    of_account("key_delete", Thing::Key).ends_it(),
    of_account("token_list", Thing::Account),
    of_account("token_create", Thing::Account).json(|_| json!({ "name": "another" })),
    of_account("token_get", Thing::Token),
    of_account("token_delete", Thing::Token).ends_it(),
    listing("token_renew"),
    listing("logout"),
    open("login").body(Body::Code),
    listing("event_list"),
    listing("audit_list"),
    for_admins("quota_list", Thing::Nothing),
    Row::new("quota_get", Persona::Rightful, Thing::Account),
    for_admins("quota_put", Thing::Account).json(|_| json!({ "vms": 1000 })),
    for_admins("quota_delete", Thing::Account),
    listing("image_list"),
    for_admins("host_list", Thing::Nothing),
    for_admins("host_found_list", Thing::Host),
    for_admins("host_found_adopt", Thing::Found)
        .json(|_| json!({}))
        .ends_it(),
    for_admins("host_found_delete", Thing::Found).ends_it(),
];

fn wish(world: &World) -> Value {
    json!({ "name": world.name("vm"), "image": "debian:12", "keys": [KEY] })
}
