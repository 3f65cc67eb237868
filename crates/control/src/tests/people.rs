//! Teams, shares, transfers and quotas; and what ends when they do.

use std::time::Duration;

use model::{
    Limits, PrincipalId, ProblemCode, PublicKey, Right, Role, Scope, TeamRole, TokenId, UserId, VmId,
};
use store::{Principal, SshKey, Token, User};

use super::world::{World, request};
use crate::{Caller, CreateVm, Error, Operation, Origin, PageRequest, PrincipalSelector, VmSelector, VmView};

/// A user's number decides its id, its token and its key.
pub(super) fn key_of(number: u8) -> PublicKey {
    let last = char::from(b'j' + number % 16);
    let line =
        format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISE{last} key");
    line.parse().unwrap()
}

impl World {
    /// A user who has a key and is signed in.
    pub(super) async fn user(&self, name: &str, number: u8) -> Caller {
        let mut change = self.control.change().await.unwrap();
        let user = User {
            id: UserId::from_random([number; 16]),
            name: name.parse().unwrap(),
            role: Role::Member,
            disabled: false,
            created_at: change.now,
        };
        let token = Token {
            id: TokenId::from_random([number; 16]),
            user: user.id,
            name: "test".into(),
            digest: model::Digest::from_sha256([number; 32]),
            scopes: Scope::of_role(Role::Member),
            created_at: change.now,
            expires_at: None,
            last_used_at: None,
        };
        let key = SshKey {
            user: user.id,
            key: key_of(number),
            added_at: change.now,
        };
        change
            .principal_insert(&Principal::User(user.clone()))
            .await
            .unwrap();
        change.token_insert(&token).await.unwrap();
        change.ssh_key_put(&key).await.unwrap();
        self.control.commit(change).await.unwrap();
        Caller {
            user: user.id,
            name: user.name,
            role: user.role,
            token: token.id,
            scopes: token.scopes,
            token_expires_at: None,
            origin: Origin::default(),
        }
    }

    pub(super) async fn create_by(&self, caller: &Caller, wish: CreateVm) -> Result<VmView, Error> {
        self.control.vm_create(caller, wish).await
    }

    pub(super) async fn team(&self, name: &str, members: &[(&Caller, TeamRole)]) -> PrincipalSelector {
        let team = self
            .control
            .team_create(&self.caller, name.parse().unwrap())
            .await
            .unwrap();
        let team = PrincipalSelector::Id(team.id.into());
        for (member, role) in members {
            let put = self
                .control
                .member_put(&self.caller, &team, &who(member), *role)
                .await;
            assert_eq!(put.unwrap().role, *role);
        }
        team
    }

    pub(super) async fn share(&self, vm: VmId, with: &Caller, right: Right) {
        let shared = self
            .control
            .share_put(&self.caller, &vm.into(), &who(with), right)
            .await;
        assert_eq!(shared.unwrap().right, right);
    }

    pub(super) async fn asked(&self, vm: VmId) -> model::VmBody {
        self.get(vm).await.unwrap().asked.body
    }

    pub(super) async fn limit(&self, of: &PrincipalSelector, limits: Limits) {
        self.control.quota_put(&self.caller, of, limits).await.unwrap();
    }
}

pub(super) fn who(caller: &Caller) -> PrincipalSelector {
    PrincipalSelector::Id(caller.user.into())
}

pub(super) fn of_team(name: &str, team: &str) -> CreateVm {
    CreateVm {
        owner: Some(team.parse().unwrap()),
        ..request(name)
    }
}

pub(super) fn code<T: std::fmt::Debug>(outcome: Result<T, Error>) -> ProblemCode {
    outcome.unwrap_err().problem.code
}

pub(super) fn vms(vms: u64) -> Limits {
    Limits {
        vms: Some(vms),
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_share_opens_a_vm_and_its_end_closes_it_with_what_is_open() {
    let (world, _host) = World::with_host().await;
    let ann = world.user("ann", 1).await;
    let id = world.create("web").await.asked.id;
    let name: VmSelector = "web.admin".parse().unwrap();
    assert_eq!(
        code(world.control.vm_get(&ann, &name).await),
        ProblemCode::NotFound
    );
    world.share(id, &ann, Right::Use).await;
    assert_eq!(world.control.vm_get(&ann, &name).await.unwrap().asked.id, id);
    assert_eq!(
        code(world.control.vm_stop(&ann, &name).await),
        ProblemCode::Forbidden
    );
    assert!(world.asked(id).await.authorized_keys.contains(&key_of(1)));
    world.share(id, &ann, Right::Manage).await;
    world.control.vm_stop(&ann, &name).await.unwrap();
    assert_eq!(
        code(world.control.vm_delete(&ann, &name).await),
        ProblemCode::Forbidden
    );

    let withdrawn = world
        .control
        .right_withdrawn(&ann, Some(id), Operation::VmConsole);
    let mut withdrawn = std::pin::pin!(withdrawn);
    let soon = tokio::time::timeout(Duration::from_millis(50), &mut withdrawn).await;
    assert!(soon.is_err(), "nothing was taken away yet: {soon:?}");
    world
        .control
        .share_delete(&world.caller, &id.into(), &who(&ann))
        .await
        .unwrap();
    let told = tokio::time::timeout(Duration::from_secs(2), withdrawn)
        .await
        .unwrap();
    assert_eq!(told.code, ProblemCode::NotFound);
    let body = world.asked(id).await;
    assert!(!body.authorized_keys.contains(&key_of(1)));
    assert_eq!(body.barred, [key_of(1).fingerprint()].into());
    assert_eq!(
        code(world.control.vm_get(&ann, &name).await),
        ProblemCode::NotFound
    );
    let again = world
        .control
        .share_delete(&world.caller, &id.into(), &who(&ann))
        .await;
    assert_eq!(code(again), ProblemCode::NotFound);
    // Another boot ends every session, so nobody needs to be barred from it.
    world.control.vm_start(&world.caller, &id.into()).await.unwrap();
    assert_eq!(world.asked(id).await.barred, [].into());
}

#[tokio::test]
async fn whoever_may_use_a_vm_otherwise_keeps_what_is_open() {
    let (world, _host) = World::with_host().await;
    let ann = world.user("ann", 1).await;
    let team = world.team("ops", &[(&ann, TeamRole::Member)]).await;
    let id = world.create("web").await.asked.id;
    world.share(id, &ann, Right::Use).await;
    world
        .control
        .share_put(&world.caller, &id.into(), &team, Right::Use)
        .await
        .unwrap();
    world
        .control
        .share_delete(&world.caller, &id.into(), &who(&ann))
        .await
        .unwrap();
    let still = world
        .control
        .still_may(&ann, Some(id), Operation::VmConsole)
        .await;
    assert!(still.is_ok(), "{still:?}");
    let body = world.asked(id).await;
    assert!(body.authorized_keys.contains(&key_of(1)) && body.barred.is_empty());
    world
        .control
        .member_delete(&world.caller, &team, &who(&ann))
        .await
        .unwrap();
    assert_eq!(world.asked(id).await.barred, [key_of(1).fingerprint()].into());
    // Let in again, the key is good again.
    world
        .control
        .member_put(&world.caller, &team, &who(&ann), TeamRole::Member)
        .await
        .unwrap();
    assert_eq!(world.asked(id).await.barred, [].into());
}

#[tokio::test]
async fn a_token_that_ends_ends_what_was_opened_with_it() {
    let (world, _host) = World::with_host().await;
    let mut ann = world.user("ann", 1).await;
    let id = world.create_by(&ann, request("web")).await.unwrap().asked.id;
    let withdrawn = world.control.right_withdrawn(&ann, Some(id), Operation::VmLogs);
    let revoke = async {
        let mut change = world.control.change().await.unwrap();
        change.token_delete(ann.token).await.unwrap();
        change.withdraws_rights();
        world.control.commit(change).await.unwrap();
    };
    let (told, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(2), withdrawn), revoke);
    assert_eq!(told.unwrap().code, ProblemCode::Unauthenticated);
    ann.token = TokenId::from_random([9; 16]);
    assert_eq!(
        code(world.control.still_may(&ann, None, Operation::EventList).await),
        ProblemCode::Unauthenticated
    );
}

#[tokio::test]
async fn a_team_is_there_for_those_in_it_and_keeps_an_owner() {
    let (world, _host) = World::with_host().await;
    let (ann, bob, eve) = (
        world.user("ann", 1).await,
        world.user("bob", 2).await,
        world.user("eve", 3).await,
    );
    let team = world
        .team("ops", &[(&ann, TeamRole::Owner), (&bob, TeamRole::Member)])
        .await;
    let control = &world.control;
    assert_eq!(code(control.team_get(&eve, &team).await), ProblemCode::NotFound);
    assert_eq!(
        code(control.member_list(&eve, &team, &PageRequest::default()).await),
        ProblemCode::NotFound
    );
    assert_eq!(
        control.team_get(&bob, &team).await.unwrap().role,
        Some(TeamRole::Member)
    );
    let put = control
        .member_put(&bob, &team, &who(&eve), TeamRole::Member)
        .await;
    assert_eq!(code(put), ProblemCode::Forbidden);
    assert_eq!(
        code(control.team_create(&ann, "more".parse().unwrap()).await),
        ProblemCode::AdminOnly
    );
    for taken in ["ops", "ann"] {
        let again = control.team_create(&world.caller, taken.parse().unwrap()).await;
        assert_eq!(code(again), ProblemCode::NameTaken, "{taken}");
    }
    // The last owner stays, unless an admin says so.
    assert_eq!(
        code(control.member_delete(&ann, &team, &who(&ann)).await),
        ProblemCode::Forbidden
    );
    let lowered = control
        .member_put(&ann, &team, &who(&ann), TeamRole::Member)
        .await;
    assert_eq!(code(lowered), ProblemCode::Forbidden);
    control
        .member_put(&ann, &team, &who(&bob), TeamRole::Owner)
        .await
        .unwrap();
    control.member_delete(&ann, &team, &who(&ann)).await.unwrap();
    assert_eq!(code(control.team_get(&ann, &team).await), ProblemCode::NotFound);
    control
        .member_delete(&world.caller, &team, &who(&bob))
        .await
        .unwrap();
    let page = PageRequest {
        limit: Some(1),
        cursor: None,
    };
    assert_eq!(control.team_list(&bob, &page).await.unwrap().items, []);
    assert_eq!(
        control.team_list(&world.caller, &page).await.unwrap().items.len(),
        1
    );
}

#[tokio::test]
async fn a_team_goes_when_somebody_else_has_its_vms() {
    let (world, _host) = World::with_host().await;
    let ann = world.user("ann", 1).await;
    let team = world.team("ops", &[(&ann, TeamRole::Owner)]).await;
    let id = world
        .create_by(&ann, of_team("web", "ops"))
        .await
        .unwrap()
        .asked
        .id;
    let shared = world.create("db").await.asked.id;
    world
        .control
        .share_put(&world.caller, &shared.into(), &team, Right::Use)
        .await
        .unwrap();
    assert_eq!(
        code(world.control.team_delete(&ann, &team, None).await),
        ProblemCode::OwnsVms
    );
    world
        .control
        .team_delete(&ann, &team, Some(&who(&ann)))
        .await
        .unwrap();
    assert_eq!(world.get(id).await.unwrap().owner.id, PrincipalId::User(ann.user));
    let body = world.asked(shared).await;
    assert!(
        !body.authorized_keys.contains(&key_of(1)),
        "the share went with the team"
    );
    assert_eq!(body.barred, [key_of(1).fingerprint()].into());
    assert_eq!(
        code(world.control.team_get(&ann, &team).await),
        ProblemCode::NotFound
    );
}

#[tokio::test]
async fn a_vm_is_given_away_and_needs_room_there() {
    let (world, _host) = World::with_host().await;
    let (ann, bob) = (world.user("ann", 1).await, world.user("bob", 2).await);
    let before = world.create_by(&ann, request("web")).await.unwrap();
    let id: VmSelector = before.asked.id.into();
    world.create_by(&bob, request("web")).await.unwrap();
    let control = &world.control;
    assert_eq!(
        code(control.vm_transfer(&bob, &id, &who(&bob)).await),
        ProblemCode::NotFound
    );
    assert_eq!(
        code(control.vm_transfer(&ann, &id, &who(&bob)).await),
        ProblemCode::NameTaken
    );
    control.vm_delete(&bob, &"web".parse().unwrap()).await.unwrap();
    world.limit(&who(&bob), vms(0)).await;
    let refused = control
        .vm_transfer(&ann, &id, &who(&bob))
        .await
        .unwrap_err()
        .problem;
    let numbers = refused
        .quota
        .as_deref()
        .map(|quota| (quota.limit, quota.used, quota.requested));
    assert_eq!(
        (refused.code, numbers),
        (ProblemCode::QuotaExceeded, Some((0, 0, 1)))
    );
    world.limit(&who(&bob), vms(1)).await;
    let nobody: PrincipalSelector = "nobody".parse().unwrap();
    assert_eq!(
        code(control.vm_transfer(&ann, &id, &nobody).await),
        ProblemCode::NotFound
    );
    let now = control
        .vm_transfer(&ann, &id, &"bob".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(now.owner.id, PrincipalId::User(bob.user));
    assert!(now.asked.generation > before.asked.generation);
    let keys = &now.asked.body.authorized_keys;
    assert!(keys.contains(&key_of(2)) && !keys.contains(&key_of(1)));
    assert_eq!(code(control.vm_get(&ann, &id).await), ProblemCode::NotFound);
    let used =
        |caller: Caller| async move { control.quota_get(&caller, &who(&caller)).await.unwrap().used.vms };
    assert_eq!((used(ann).await, used(bob).await), (0, 1));
}

#[tokio::test]
async fn a_name_is_ones_own_else_the_only_one_else_refused_with_the_list() {
    let (world, _host) = World::with_host().await;
    let (ann, bob, eve) = (
        world.user("ann", 1).await,
        world.user("bob", 2).await,
        world.user("eve", 3).await,
    );
    let web: VmSelector = "web".parse().unwrap();
    let of_ann = world.create_by(&ann, request("web")).await.unwrap().asked.id;
    world.share(of_ann, &eve, Right::Use).await;
    assert_eq!(world.control.vm_get(&eve, &web).await.unwrap().asked.id, of_ann);
    let of_bob = world.create_by(&bob, request("web")).await.unwrap().asked.id;
    world.share(of_bob, &eve, Right::Use).await;
    let refused = world.control.vm_get(&eve, &web).await.unwrap_err().problem;
    assert_eq!(refused.code, ProblemCode::AmbiguousName);
    assert!(
        refused.detail.contains("web.ann") && refused.detail.contains("web.bob"),
        "{refused}"
    );
    let full = world
        .control
        .vm_get(&eve, &"web.bob".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(full.asked.id, of_bob);
    let own = world.create_by(&eve, request("web")).await.unwrap().asked.id;
    assert_eq!(world.control.vm_get(&eve, &web).await.unwrap().asked.id, own);
    // Ids and names are never each other.
    let by_id = world.control.vm_get(&eve, &of_ann.into()).await.unwrap();
    assert_eq!(by_id.asked.id, of_ann);
}
