//! Every operation, tried by everybody, against the table of rights. The table itself stands in `docs/people.md`.

use std::path::Path;
use std::time::Duration;

use model::{Capacity, Limits, ProblemCode, Right, Role, TeamRole};
use wire::stream::{Exec, Open};

use super::people::who;
use super::world::{World, request};
use crate::{
    AuditFilter, Caller, ChangeVm, CreateToken, CreateVm, Error, HostSelector, ListVms, LogRequest, Need,
    Operation, PageRequest, PrincipalSelector, RebuildVm, ResizeVm, Since, StreamRequest, UserSelector,
    VmSelector, WaitFor,
};

/// Who tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Stranger,
    UseShare,
    ManageShare,
    TeamMember,
    TeamOwner,
    Owner,
    Admin,
}

impl Who {
    const ALL: [Self; 7] = [
        Self::Stranger,
        Self::UseShare,
        Self::ManageShare,
        Self::TeamMember,
        Self::TeamOwner,
        Self::Owner,
        Self::Admin,
    ];

    const fn right(self) -> Option<Right> {
        match self {
            Self::Stranger => None,
            Self::UseShare => Some(Right::Use),
            Self::ManageShare | Self::TeamMember => Some(Right::Manage),
            Self::TeamOwner | Self::Owner | Self::Admin => Some(Right::Own),
        }
    }

    const fn team_role(self) -> Option<TeamRole> {
        match self {
            Self::Stranger | Self::UseShare | Self::ManageShare | Self::Owner => None,
            Self::TeamMember => Some(TeamRole::Member),
            Self::TeamOwner | Self::Admin => Some(TeamRole::Owner),
        }
    }

    /// How the table says that the try ends; `None` is that it is let through.
    fn refusal(self, need: Need) -> Option<ProblemCode> {
        let own_account = matches!(self, Self::Owner | Self::Admin);
        match need {
            Need::SignedIn => None,
            Need::Admin => (self != Self::Admin).then_some(ProblemCode::AdminOnly),
            Need::Account | Need::Holder => (!own_account).then_some(ProblemCode::NotFound),
            Need::Vm(needed) => below(self.right(), needed),
            Need::Team(needed) => below(self.team_role(), needed),
        }
    }
}

fn below<T: PartialOrd>(has: Option<T>, needed: T) -> Option<ProblemCode> {
    match has {
        None => Some(ProblemCode::NotFound),
        Some(has) => (has < needed).then_some(ProblemCode::Forbidden),
    }
}

/// What is tried upon, made anew for each try.
struct Target {
    vm: VmSelector,
    team: PrincipalSelector,
    account: UserSelector,
    holder: PrincipalSelector,
    key: String,
    token: String,
    /// A word that no other try uses.
    word: String,
}

struct Stage {
    world: World,
    stranger: Caller,
    use_share: Caller,
    manage_share: Caller,
    team_member: Caller,
    team_owner: Caller,
}

impl Stage {
    async fn new() -> Self {
        let (world, mut host) = World::with_host().await;
        host.capacity = Some(Capacity {
            cpus: u32::MAX,
            memory_bytes: 1 << 50,
            disk_bytes: 1 << 55,
        });
        world.deliver(&host.report()).await;
        Self {
            stranger: world.user("stranger", 1).await,
            use_share: world.user("uses", 2).await,
            manage_share: world.user("manages", 3).await,
            team_member: world.user("member", 4).await,
            team_owner: world.user("owns", 5).await,
            world,
        }
    }

    /// A target, and the caller who tries upon it.
    async fn set(&self, who_tries: Who, number: u8) -> (Target, Caller) {
        let (world, control) = (&self.world, &self.world.control);
        let admin = &world.caller;
        let word = format!("t{number}-{}", format!("{who_tries:?}").to_lowercase());
        let owner = world.user(&word, number).await;
        let team_name = format!("team-{word}").parse().unwrap();
        let team = control.team_create(admin, team_name).await.unwrap();
        let selector = PrincipalSelector::Id(team.id.into());
        for (member, role) in [
            (&self.team_member, TeamRole::Member),
            (&self.team_owner, TeamRole::Owner),
        ] {
            control
                .member_put(admin, &selector, &who(member), role)
                .await
                .unwrap();
        }
        // The try may be to take them out.
        let is_teams = matches!(who_tries, Who::TeamMember | Who::TeamOwner);
        let wish = CreateVm {
            owner: Some(if is_teams { selector.clone() } else { who(&owner) }),
            ..request("vm")
        };
        let vm: VmSelector = control.vm_create(admin, wish).await.unwrap().asked.id.into();
        for (with, right) in [(&self.use_share, Right::Use), (&self.manage_share, Right::Manage)] {
            control.share_put(admin, &vm, &who(with), right).await.unwrap();
        }
        let caller = match who_tries {
            Who::Stranger => &self.stranger,
            Who::UseShare => &self.use_share,
            Who::ManageShare => &self.manage_share,
            Who::TeamMember => &self.team_member,
            Who::TeamOwner => &self.team_owner,
            Who::Owner => &owner,
            Who::Admin => admin,
        };
        let target = Target {
            vm,
            team: selector,
            account: UserSelector::Id(owner.user),
            holder: who(&owner),
            key: super::people::key_of(number).fingerprint(),
            token: owner.token.to_string(),
            word,
        };
        (target, caller.clone())
    }

    /// A line for each operation.
    async fn attempt(&self, operation: Operation, caller: &Caller, on: &Target) -> Result<(), Error> {
        let control = &self.world.control;
        let page = PageRequest::default();
        let host: HostSelector = "box".parse().unwrap();
        let nothing_found = "vm_00000000000000000000000000".parse().unwrap();
        let exec = StreamRequest::Guest(Open::Exec(Exec::default()));
        let path = "/".to_owned();
        match operation {
            Operation::VmCreate => control.vm_create(caller, request(&on.word)).await.map(drop),
            Operation::VmList => control.vm_list(caller, &ListVms::default()).await.map(drop),
            Operation::VmGet => control.vm_get(caller, &on.vm).await.map(drop),
            Operation::VmWait => {
                let wait = (WaitFor::Deleted, None);
                control
                    .vm_wait(caller, &on.vm, wait, Duration::ZERO)
                    .await
                    .map(drop)
            }
            Operation::VmEvents => control.events(caller, Some(&on.vm), Since::Now).await.map(drop),
            Operation::VmLogs => control
                .vm_log(caller, &on.vm, LogRequest::default())
                .await
                .map(drop),
            Operation::VmExecCreate => control.vm_stream(caller, &on.vm, exec).await.map(drop),
            Operation::VmExecAttach => control.vm_meant(caller, &on.vm, operation).await.map(drop),
            Operation::VmConsole => {
                let console = StreamRequest::Console { interactive: true };
                control.vm_stream(caller, &on.vm, console).await.map(drop)
            }
            Operation::VmFilesRead => {
                let read = StreamRequest::Guest(Open::ReadFiles { path });
                control.vm_stream(caller, &on.vm, read).await.map(drop)
            }
            Operation::VmFilesWrite => {
                let write = StreamRequest::Guest(Open::WriteFiles { path });
                control.vm_stream(caller, &on.vm, write).await.map(drop)
            }
            Operation::VmChange => control
                .vm_change(caller, &on.vm, ChangeVm::default())
                .await
                .map(drop),
            Operation::VmStart => control.vm_start(caller, &on.vm).await.map(drop),
            Operation::VmStop => control.vm_stop(caller, &on.vm).await.map(drop),
            Operation::VmRestart => control.vm_restart(caller, &on.vm).await.map(drop),
            Operation::VmRebuild => control
                .vm_rebuild(caller, &on.vm, RebuildVm::default())
                .await
                .map(drop),
            Operation::VmResize => control
                .vm_resize(caller, &on.vm, ResizeVm::default())
                .await
                .map(drop),
            Operation::VmExtend => control.vm_extend(caller, &on.vm, 60).await.map(drop),
            Operation::VmLease => control.vm_lease(caller, &on.vm).await.map(drop),
            Operation::VmDelete => control.vm_delete(caller, &on.vm).await.map(drop),
            Operation::VmTransfer => {
                let to = who(&self.world.caller);
                control.vm_transfer(caller, &on.vm, &to).await.map(drop)
            }
            Operation::VmShareList => control.share_list(caller, &on.vm, &page).await.map(drop),
            Operation::VmSharePut => {
                let with = who(&self.stranger);
                control
                    .share_put(caller, &on.vm, &with, Right::Use)
                    .await
                    .map(drop)
            }
            Operation::VmShareDelete => control.share_delete(caller, &on.vm, &who(&self.use_share)).await,
            Operation::EventList => control.events(caller, None, Since::Now).await.map(drop),
            Operation::ImageList => control
                .image_list(caller, &PageRequest::default())
                .await
                .map(drop),
            Operation::Me => control.me(caller).await.map(drop),
            // Whoever tries it has no token any more, so it is tried only as far as it is refused.
            Operation::Logout | Operation::TokenRenew => control.still_may(caller, None, operation).await,
            Operation::UserList => control.user_list(caller, &page).await.map(drop),
            Operation::UserGet => control.user_get(caller, &on.account).await.map(drop),
            Operation::UserCreate => {
                let name = format!("new-{}", on.word).parse().unwrap();
                control.user_create(caller, name, Role::Member).await.map(drop)
            }
            Operation::UserChange => control.user_change(caller, &on.account, None).await.map(drop),
            Operation::UserDelete => {
                let heir = who(&self.world.caller);
                control
                    .user_delete(caller, &on.account, Some(&heir))
                    .await
                    .map(drop)
            }
            Operation::UserEnable => control.user_enable(caller, &on.account).await.map(drop),
            Operation::UserDisable => control.user_disable(caller, &on.account).await.map(drop),
            Operation::UserCode => control.user_code(caller, &on.account).await.map(drop),
            Operation::KeyList => control.key_list(caller, &on.account, &page).await.map(drop),
            Operation::KeyGet => control.key_get(caller, &on.account, &on.key).await.map(drop),
            Operation::KeyCreate => {
                let key = super::people::key_of(9);
                control.key_create(caller, &on.account, key).await.map(drop)
            }
            Operation::KeyDelete => control.key_delete(caller, &on.account, &on.key).await.map(drop),
            Operation::TokenList => control.token_list(caller, &on.account, &page).await.map(drop),
            Operation::TokenGet => control.token_get(caller, &on.account, &on.token).await.map(drop),
            Operation::TokenCreate => {
                let wish = CreateToken {
                    name: on.word.clone(),
                    scopes: None,
                    until: None,
                };
                control.token_create(caller, &on.account, wish).await.map(drop)
            }
            Operation::TokenDelete => control
                .token_delete(caller, &on.account, &on.token)
                .await
                .map(drop),
            Operation::TeamList => control.team_list(caller, &page).await.map(drop),
            Operation::TeamGet => control.team_get(caller, &on.team).await.map(drop),
            Operation::TeamCreate => {
                let name = format!("new-{}", on.word).parse().unwrap();
                control.team_create(caller, name).await.map(drop)
            }
            Operation::TeamDelete => control.team_delete(caller, &on.team, None).await,
            Operation::MemberList => control.member_list(caller, &on.team, &page).await.map(drop),
            Operation::MemberPut => {
                let user = who(&self.stranger);
                control
                    .member_put(caller, &on.team, &user, TeamRole::Member)
                    .await
                    .map(drop)
            }
            Operation::MemberDelete => {
                control
                    .member_delete(caller, &on.team, &who(&self.team_member))
                    .await
            }
            Operation::QuotaList => control.quota_list(caller, &page).await.map(drop),
            Operation::QuotaGet => control.quota_get(caller, &on.holder).await.map(drop),
            Operation::QuotaPut => {
                let limits = Limits::default();
                control.quota_put(caller, &on.holder, limits).await.map(drop)
            }
            Operation::QuotaDelete => control.quota_delete(caller, &on.holder).await,
            Operation::AuditList => {
                let filter = AuditFilter::default();
                control.audit_list(caller, filter, &page).await.map(drop)
            }
            Operation::HostList => control.host_list(caller, &PageRequest::default()).await.map(drop),
            Operation::HostFoundList => control
                .host_found(caller, &host, &PageRequest::default())
                .await
                .map(drop),
            Operation::HostFoundAdopt => control
                .found_adopt(caller, &host, nothing_found, None)
                .await
                .map(drop),
            Operation::HostFoundDelete => control.found_remove(caller, &host, nothing_found).await.map(drop),
        }
    }
}

/// What a try was refused for, as far as rights go. Whatever else is said comes from behind the door.
fn refused_for(outcome: Result<(), Error>, need: Need) -> Option<ProblemCode> {
    let code = outcome.err()?.problem.code;
    // An admin who looks for what is not there is told so.
    let is_hidden = code == ProblemCode::NotFound && need != Need::Admin;
    let is_refused = matches!(
        code,
        ProblemCode::Forbidden | ProblemCode::AdminOnly | ProblemCode::InsufficientScope
    );
    (is_hidden || is_refused).then_some(code)
}

#[tokio::test]
async fn everybody_may_do_what_the_table_says_and_nothing_else() {
    for (number, operation) in Operation::ALL.iter().enumerate() {
        // A world for so many operations as there are numbers for users in it.
        let stage = Stage::new().await;
        for (index, who_tries) in Who::ALL.into_iter().enumerate() {
            let (target, caller) = stage.set(who_tries, u8::try_from(10 + index).unwrap()).await;
            let outcome = stage.attempt(*operation, &caller, &target).await;
            let need = operation.need();
            assert_eq!(
                refused_for(outcome, need),
                who_tries.refusal(need),
                "{number}: {} by {who_tries:?}",
                operation.as_str()
            );
        }
    }
}

/// The table for people. Set `UPDATE_GOLDEN=1` to write it into the page anew.
#[test]
fn the_page_about_people_shows_the_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/people.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (begin, end) = ("<!-- rights -->\n", "<!-- end of rights -->");
    let (before, rest) = text.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let now = format!("{before}{begin}{}{end}{after}", table());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&page, &now).unwrap();
        return;
    }
    assert_eq!(text, now);
}

fn table() -> String {
    let mut text = "\n| operation | scope of the token | who |\n| --- | --- | --- |\n".to_owned();
    for operation in Operation::ALL {
        let who = match operation.need() {
            Need::SignedIn => "everybody, as to what they may see",
            Need::Vm(Right::Use) => "who may use the VM",
            Need::Vm(Right::Manage) => "who may manage the VM",
            Need::Vm(Right::Own) => "the VM's owner",
            Need::Account => "the user",
            Need::Holder => "the user, or who is in the team",
            Need::Team(TeamRole::Member) => "who is in the team",
            Need::Team(TeamRole::Owner) => "the team's owners",
            Need::Admin => "admins only",
        };
        let scope = operation.scope();
        let scope = scope.map_or_else(|| "any".to_owned(), |scope| format!("`{scope}`"));
        text += &format!("| `{}` | {scope} | {who} |\n", operation.as_str());
    }
    text + "\n"
}
