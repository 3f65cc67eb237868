//! Who may do what: one table from each operation to the scope its token needs and to what its caller must be.
//!
//! ```text
//!   operation ──► scope   of the token        else insufficient_scope
//!             └─► need    of the person       else not_found for what it may not see,
//!                                             forbidden for what it sees and may not touch, admin_only for the rest
//! ```
//!
//! Every use case names its operation, and nothing else decides. Admins have every need; a token's scope is asked of
//! them too; only to end itself a token needs none. An operation's text form is the `operationId` of the API document.

use model::{Problem, ProblemCode, Right, Role, Scope, TeamRole};

use crate::Caller;

/// What the caller of an operation must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Signed in. Where it lists, it lists what the caller may see.
    SignedIn,
    /// One who has this right on the VM.
    Vm(Right),
    /// The user it is about.
    Account,
    /// The user whose it is, or in the team whose it is.
    Holder,
    /// In the team, as this.
    Team(TeamRole),
    /// An admin.
    Admin,
}

/// The scope that a row of the table names.
macro_rules! scope {
    (Any) => {
        None
    };
    ($scope:ident) => {
        Some(Scope::$scope)
    };
}

macro_rules! operations {
    ($($name:ident = $text:literal, $scope:ident, $need:expr;)*) => {
        /// Everything that somebody can ask of Pitwall.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each is what its text form says; the API document describes it")]
        pub enum Operation {
            $($name,)*
        }

        impl Operation {
            /// Every operation, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable text form.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What its token must be good for; `None` is anything.
            pub const fn scope(self) -> Option<Scope> {
                match self {
                    $(Self::$name => scope!($scope),)*
                }
            }

            /// What its caller must be.
            pub const fn need(self) -> Need {
                match self {
                    $(Self::$name => $need,)*
                }
            }
        }
    };
}

use Need::{Account, Admin, Holder, SignedIn, Team, Vm};
use Right::{Manage, Own, Use};

operations! {
    VmCreate = "vm_create", VmWrite, SignedIn;
    VmList = "vm_list", VmRead, SignedIn;
    VmGet = "vm_get", VmRead, Vm(Use);
    VmWait = "vm_wait", VmRead, Vm(Use);
    VmEvents = "vm_events", VmRead, Vm(Use);
    VmLogs = "vm_logs", VmRead, Vm(Use);
    VmExecCreate = "vm_exec_create", VmUse, Vm(Use);
    VmExecAttach = "vm_exec_attach", VmUse, Vm(Use);
    VmConsole = "vm_console", VmUse, Vm(Use);
    VmFilesRead = "vm_files_read", VmUse, Vm(Use);
    VmFilesWrite = "vm_files_write", VmUse, Vm(Use);
    VmChange = "vm_change", VmWrite, Vm(Manage);
    VmStart = "vm_start", VmWrite, Vm(Manage);
    VmStop = "vm_stop", VmWrite, Vm(Manage);
    VmRestart = "vm_restart", VmWrite, Vm(Manage);
    VmRebuild = "vm_rebuild", VmWrite, Vm(Manage);
    VmResize = "vm_resize", VmWrite, Vm(Manage);
    VmExtend = "vm_extend", VmWrite, Vm(Manage);
    VmLease = "vm_lease", VmWrite, Vm(Manage);
    VmDelete = "vm_delete", VmWrite, Vm(Own);
    VmTransfer = "vm_transfer", VmWrite, Vm(Own);
    VmShareList = "vm_share_list", VmRead, Vm(Use);
    VmSharePut = "vm_share_put", VmWrite, Vm(Own);
    VmShareDelete = "vm_share_delete", VmWrite, Vm(Own);
    EventList = "event_list", VmRead, SignedIn;
    ImageList = "image_list", VmRead, SignedIn;
    Me = "me", AccountRead, SignedIn;
    Logout = "logout", Any, SignedIn;
    TokenRenew = "token_renew", AccountWrite, SignedIn;
    UserList = "user_list", AccountRead, SignedIn;
    UserGet = "user_get", AccountRead, Account;
    UserCreate = "user_create", Admin, Admin;
    UserChange = "user_change", Admin, Admin;
    UserDelete = "user_delete", Admin, Admin;
    UserEnable = "user_enable", Admin, Admin;
    UserDisable = "user_disable", Admin, Admin;
    UserCode = "user_code", Admin, Admin;
    KeyList = "key_list", AccountRead, Account;
    KeyGet = "key_get", AccountRead, Account;
    KeyCreate = "key_create", AccountWrite, Account;
    KeyDelete = "key_delete", AccountWrite, Account;
    TokenList = "token_list", AccountRead, Account;
    TokenGet = "token_get", AccountRead, Account;
    TokenCreate = "token_create", AccountWrite, Account;
    TokenDelete = "token_delete", AccountWrite, Account;
    TeamList = "team_list", AccountRead, SignedIn;
    TeamGet = "team_get", AccountRead, Team(TeamRole::Member);
    TeamCreate = "team_create", Admin, Admin;
    TeamDelete = "team_delete", AccountWrite, Team(TeamRole::Owner);
    MemberList = "member_list", AccountRead, Team(TeamRole::Member);
    MemberPut = "member_put", AccountWrite, Team(TeamRole::Owner);
    MemberDelete = "member_delete", AccountWrite, Team(TeamRole::Owner);
    QuotaList = "quota_list", Admin, Admin;
    QuotaGet = "quota_get", AccountRead, Holder;
    QuotaPut = "quota_put", Admin, Admin;
    QuotaDelete = "quota_delete", Admin, Admin;
    AuditList = "audit_list", AccountRead, SignedIn;
    HostList = "host_list", Admin, Admin;
    HostFoundList = "host_found_list", Admin, Admin;
    HostFoundAdopt = "host_found_adopt", Admin, Admin;
    HostFoundDelete = "host_found_delete", Admin, Admin;
}

impl Caller {
    /// Whether the caller is an admin.
    pub const fn is_admin(&self) -> bool {
        matches!(self.role, Role::Admin)
    }

    /// Refuses an operation that this token was not made for, or that only admins may ask for. What else the operation
    /// needs is asked where the thing is looked up.
    pub(crate) fn may_ask_for(&self, operation: Operation) -> Result<(), Problem> {
        if operation.need() == Need::Admin && !self.is_admin() {
            return Err(
                Problem::new(ProblemCode::AdminOnly, "only admins may do this").hint("ask an admin to do it")
            );
        }
        match operation.scope().filter(|scope| !self.scopes.contains(scope)) {
            Some(scope) => Err(Problem::new(
                ProblemCode::InsufficientScope,
                format!("this token lacks the scope {scope}"),
            )
            .hint("make one that has it (pwctl token create --scope), or sign in again (pwctl login)")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_needs_no_scope_that_changes() {
        for operation in Operation::ALL {
            let looks = ["list", "get", "wait", "logs", "events"]
                .iter()
                .any(|word| operation.as_str().ends_with(word));
            let reads = matches!(
                operation.scope(),
                Some(Scope::VmRead | Scope::AccountRead | Scope::Admin)
            );
            assert!(!looks || reads, "{}", operation.as_str());
        }
    }

    #[test]
    fn what_only_admins_may_ask_for_has_their_scope() {
        for operation in Operation::ALL {
            let scope = operation.scope() == Some(Scope::Admin);
            assert_eq!(scope, operation.need() == Need::Admin, "{}", operation.as_str());
        }
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let mut names: Vec<_> = Operation::ALL
            .iter()
            .map(|operation| operation.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Operation::ALL.len());
    }
}
