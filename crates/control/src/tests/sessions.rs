//! Whose sessions end with a right, and which rights a change still needs when its turn comes.

use std::time::Duration;

use model::{Limits, PublicKey, Right, Role, TeamRole, VmId};
use model::{ProblemCode, Scope};
use store::SshKey;

use super::people::{code, key_of, of_team, who};
use super::world::{World, request};
use crate::{Caller, ChangeVm, CreateToken, Operation, Origin, PrincipalSelector, Until, UserSelector};

impl World {
    async fn drops_key(&self, caller: &Caller, key: &PublicKey) {
        let removed = self
            .control
            .key_delete(caller, &UserSelector::Me, &key.fingerprint())
            .await;
        removed.unwrap();
    }

    async fn barred(&self, vm: VmId) -> Vec<String> {
        self.asked(vm).await.barred.into_iter().collect()
    }

    async fn unshare(&self, vm: VmId, with: &Caller) {
        let ended = self
            .control
            .share_delete(&self.caller, &vm.into(), &who(with))
            .await;
        ended.unwrap();
    }

    /// Keys straight into an account, as many as make a VM full.
    async fn adds_keys(&self, caller: &Caller, keys: impl IntoIterator<Item = PublicKey>) {
        let mut change = self.control.change().await.unwrap();
        for key in keys {
            let key = SshKey {
                user: caller.user,
                key,
                added_at: change.now,
            };
            change.ssh_key_put(&key).await.unwrap();
        }
        self.control.commit(change).await.unwrap();
    }
}

/// A key with a number.
fn numbered(number: u16) -> PublicKey {
    let line = format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{number:A>43}");
    line.parse().unwrap()
}

#[tokio::test]
async fn a_team_that_goes_takes_its_members_sessions_with_it() {
    let (world, _host) = World::with_host().await;
    let (ann, bob) = (world.user("ann", 1).await, world.user("bob", 2).await);
    let members = [(&ann, TeamRole::Owner), (&bob, TeamRole::Member)];
    let team = world.team("ops", &members).await;
    let made = world.create_by(&ann, of_team("web", "ops")).await.unwrap();
    let keys = made.asked.body.authorized_keys;
    assert!(
        keys.contains(&key_of(1)) && keys.contains(&key_of(2)),
        "a team's VM takes its keys"
    );
    let heir = who(&ann);
    world.control.team_delete(&ann, &team, Some(&heir)).await.unwrap();
    assert_eq!(world.barred(made.asked.id).await, [key_of(2).fingerprint()]);
}

#[tokio::test]
async fn a_key_that_was_removed_first_ends_with_the_access() {
    let (world, mut host) = World::with_host().await;
    let (ann, bob) = (world.user("ann", 1).await, world.user("bob", 2).await);
    let id = world.create("web").await.asked.id;
    world.share(id, &ann, Right::Use).await;
    world.share(id, &bob, Right::Use).await;
    world.drops_key(&ann, &key_of(1)).await;
    assert_eq!(world.barred(id).await, [""; 0], "its own person took it away");
    world.unshare(id, &bob).await;
    assert_eq!(
        world.barred(id).await,
        [key_of(2).fingerprint()],
        "ann may use it still"
    );
    world.unshare(id, &ann).await;
    let both = [key_of(1).fingerprint(), key_of(2).fingerprint()];
    assert_eq!(world.asked(id).await.barred, both.into());

    // No session outlives a boot, so nothing is remembered beyond it.
    world.share(id, &bob, Right::Use).await;
    world.drops_key(&bob, &key_of(2)).await;
    world.round(&mut host).await;
    world.control.vm_restart(&world.caller, &id.into()).await.unwrap();
    world.unshare(id, &bob).await;
    assert_eq!(world.barred(id).await, [""; 0]);
}

#[tokio::test]
async fn whoever_is_disabled_or_removed_loses_what_stayed_open() {
    for removes in [false, true] {
        let (world, _host) = World::with_host().await;
        let (ann, bob) = (world.user("ann", 1).await, world.user("bob", 2).await);
        // Given away: the sessions of the one who had it stay, until that one is shut out altogether.
        let given = world.create_by(&ann, request("given")).await.unwrap().asked.id;
        let to = world.control.vm_transfer(&ann, &given.into(), &who(&bob)).await;
        to.unwrap();
        let shared = world.create("shared").await.asked.id;
        world.share(shared, &ann, Right::Use).await;
        world.drops_key(&ann, &key_of(1)).await;
        assert_eq!(world.barred(given).await, [""; 0]);
        let selector = UserSelector::Id(ann.user);
        match removes {
            true => world
                .control
                .user_delete(&world.caller, &selector, None)
                .await
                .unwrap(),
            false => drop(
                world
                    .control
                    .user_disable(&world.caller, &selector)
                    .await
                    .unwrap(),
            ),
        }
        for vm in [given, shared] {
            assert_eq!(
                world.barred(vm).await,
                [key_of(1).fingerprint()],
                "removes: {removes}"
            );
        }
    }
}

#[tokio::test]
async fn a_teams_vm_goes_on_without_a_member_who_is_disabled() {
    let (world, mut host) = World::with_host().await;
    let (ann, bob) = (world.user("ann", 1).await, world.user("bob", 2).await);
    let members = [(&ann, TeamRole::Owner), (&bob, TeamRole::Member)];
    world.team("ops", &members).await;
    let wish = crate::CreateVm {
        keys: Vec::new(),
        ..of_team("web", "ops")
    };
    let id = world.create_by(&bob, wish).await.unwrap().asked.id;
    world.round(&mut host).await;
    let disabled = world
        .control
        .user_disable(&world.caller, &UserSelector::Id(ann.user))
        .await;
    disabled.unwrap();
    world.round(&mut host).await;
    let now = world.get(id).await.unwrap();
    assert_eq!(now.status, model::Status::Running);
    assert_eq!(now.asked.body.authorized_keys, [key_of(2)]);
    assert_eq!(now.asked.body.barred, [key_of(1).fingerprint()].into());
    let eve = world.user("eve", 3).await;
    let ops: PrincipalSelector = "ops".parse().unwrap();
    let added = world
        .control
        .member_put(&world.caller, &ops, &who(&eve), TeamRole::Member)
        .await;
    added.unwrap();
    assert_eq!(world.asked(id).await.authorized_keys, [key_of(2), key_of(3)]);
}

#[tokio::test]
async fn a_change_is_not_made_by_whoever_was_shut_out_before_its_turn() {
    let (world, _host) = World::with_host().await;
    let (ann, bob) = (world.user("ann", 1).await, world.user("bob", 2).await);
    let vm = world
        .create_by(&ann, request("web"))
        .await
        .unwrap()
        .asked
        .id
        .into();
    let other = world
        .create_by(&bob, request("web"))
        .await
        .unwrap()
        .asked
        .id
        .into();
    let (control, admin) = (&world.control, &world.caller);

    // Asked for as an admin, whose turn comes as a member.
    let me = UserSelector::Id(ann.user);
    control.user_change(admin, &me, Some(Role::Admin)).await.unwrap();
    let ann_as_admin = Caller {
        role: Role::Admin,
        ..ann.clone()
    };
    control.vm_stop(&ann_as_admin, &other).await.unwrap();
    control.user_change(admin, &me, Some(Role::Member)).await.unwrap();
    let demoted = control.vm_start(&ann_as_admin, &other).await;
    assert_eq!(code(demoted), ProblemCode::Forbidden);
    control.vm_stop(&ann, &vm).await.unwrap();

    control.user_disable(admin, &me).await.unwrap();
    assert_eq!(
        code(control.vm_delete(&ann, &vm).await),
        ProblemCode::UserDisabled
    );
    control.user_enable(admin, &me).await.unwrap();
    control.logout(&ann).await.unwrap();
    assert_eq!(
        code(control.vm_delete(&ann, &vm).await),
        ProblemCode::Unauthenticated
    );
    assert!(!control.vm_get(admin, &vm).await.unwrap().asked.remove);
}

#[tokio::test]
async fn what_a_role_may_see_ends_with_the_role() {
    let world = World::new().await;
    let boss = world.person("boss", Role::Admin).await;
    let withdrawn = world.control.right_withdrawn(&boss, None, Operation::EventList);
    let mut withdrawn = std::pin::pin!(withdrawn);
    assert!(
        tokio::time::timeout(Duration::from_millis(20), &mut withdrawn)
            .await
            .is_err()
    );
    let selector = UserSelector::Id(boss.user);
    let demoted = world
        .control
        .user_change(&world.caller, &selector, Some(Role::Member))
        .await;
    demoted.unwrap();
    let why = tokio::time::timeout(Duration::from_secs(30), withdrawn).await;
    assert_eq!(why.unwrap().code, ProblemCode::Forbidden);
    let as_member = Caller {
        role: Role::Member,
        ..boss.clone()
    };
    let still = world
        .control
        .still_may(&as_member, None, Operation::EventList)
        .await;
    assert!(still.is_ok(), "it comes back as a member");
}

#[tokio::test]
async fn only_what_is_taken_away_is_looked_at_again() {
    let (world, _host) = World::with_host().await;
    let ann = world.user("ann", 1).await;
    let id = world.create("web").await.asked.id;
    let team = world.team("ops", &[]).await;
    let mut rights = world.control.inner.news.rights();
    rights.borrow_and_update();
    world.share(id, &ann, Right::Use).await;
    world.share(id, &ann, Right::Manage).await;
    for role in [TeamRole::Member, TeamRole::Owner] {
        let put = world
            .control
            .member_put(&world.caller, &team, &who(&ann), role)
            .await;
        put.unwrap();
    }
    assert!(!rights.has_changed().unwrap(), "all this was given");
    world.share(id, &ann, Right::Use).await;
    assert!(rights.has_changed().unwrap());
    rights.borrow_and_update();
    let put = world
        .control
        .member_put(&world.caller, &team, &who(&ann), TeamRole::Member)
        .await;
    put.unwrap();
    assert!(rights.has_changed().unwrap());
}

#[tokio::test]
async fn a_vm_takes_so_many_keys_and_gives_them_up_at_any_number() {
    let (world, _host) = World::with_host().await;
    let (ann, bob) = (world.user("ann", 1).await, world.user("bob", 2).await);
    world.limit(&who(&ann), Limits::default()).await;
    world.adds_keys(&ann, (0..1022).map(numbered)).await;
    let id = world.create_by(&ann, request("web")).await.unwrap().asked.id;
    assert_eq!(
        world.asked(id).await.authorized_keys.len(),
        1024,
        "with its own and ann's first"
    );
    let shared = world
        .control
        .share_put(&ann, &id.into(), &who(&bob), Right::Use)
        .await;
    let refused = shared.unwrap_err().problem;
    assert_eq!(refused.code, ProblemCode::InvalidValue);
    assert!(
        refused.detail.contains("web.ann would accept more keys"),
        "{refused}"
    );
    let keys = Some(vec![numbered(2000), numbered(2001)]);
    let wish = ChangeVm {
        keys,
        ..ChangeVm::default()
    };
    let patched = world.control.vm_change(&ann, &id.into(), wish).await;
    assert_eq!(code(patched), ProblemCode::InvalidValue);

    // Beyond the bound, as keys of before it may be: one less is possible, and so is shutting ann out and in.
    world.adds_keys(&ann, (1022..1030).map(numbered)).await;
    assert_eq!(
        code(world.create_by(&ann, request("db")).await),
        ProblemCode::InvalidValue
    );
    world.drops_key(&ann, &numbered(0)).await;
    let selector = UserSelector::Id(ann.user);
    world
        .control
        .user_disable(&world.caller, &selector)
        .await
        .unwrap();
    world.control.user_enable(&world.caller, &selector).await.unwrap();
    assert!(world.asked(id).await.authorized_keys.len() > 1024);
}

#[tokio::test]
async fn a_vm_takes_so_many_bytes_of_keys() {
    let (world, _host) = World::with_host().await;
    let ann = world.user("ann", 1).await;
    // 591 bytes each: what a member can give most of in the smallest number.
    let long = |number: u16| -> PublicKey {
        let comment = "ä".repeat(255);
        format!("{} {comment}", numbered(number)).parse().unwrap()
    };
    world.adds_keys(&ann, (0..880).map(long)).await;
    let made = world.create_by(&ann, request("web")).await.unwrap();
    let body = made.asked.body;
    let bytes: usize = body.authorized_keys.iter().map(|key| key.as_str().len()).sum();
    assert!(bytes > 500 << 10, "{bytes}");
    world.adds_keys(&ann, (880..900).map(long)).await;
    let refused = world.create_by(&ann, request("db")).await;
    assert_eq!(code(refused), ProblemCode::InvalidValue);
}

#[tokio::test]
async fn a_vm_remembers_so_many_past_keys_of_a_user() {
    let (world, mut host) = World::with_host().await;
    let ann = world.user("ann", 1).await;
    let id = world.create_by(&ann, request("web")).await.unwrap().asked.id;
    world.round(&mut host).await;
    let mut change = world.control.change().await.unwrap();
    for number in 0..256 {
        let fingerprint = numbered(number).fingerprint();
        change.past_key_put(id, ann.user, &fingerprint).await.unwrap();
    }
    world.control.commit(change).await.unwrap();
    let add = || world.control.key_create(&ann, &UserSelector::Me, key_of(5));
    let refused = add().await.unwrap_err().problem;
    assert_eq!(refused.code, ProblemCode::InvalidValue);
    assert!(refused.hint.unwrap().contains(&format!("pwctl restart {id}")));
    world.control.vm_restart(&ann, &id.into()).await.unwrap();
    add().await.unwrap();
}

#[tokio::test]
async fn a_code_for_oneself_gives_no_more_than_the_token_that_made_it() {
    let (world, _host) = World::with_host().await;
    let scopes = [Scope::Admin, Scope::AccountRead].into();
    let wish = CreateToken {
        name: "script".into(),
        scopes: Some(scopes),
        until: Some(Until::For(600)),
    };
    let (control, origin) = (&world.control, Origin::default());
    let (small, text) = control
        .token_create(&world.caller, &UserSelector::Me, wish)
        .await
        .unwrap();
    let caller = control.authenticate(text.reveal(), origin.clone()).await.unwrap();
    let code_of = async |whose: &UserSelector| control.user_code(&caller, whose).await.unwrap().1;

    let own = code_of(&UserSelector::Me).await;
    let (token, _) = control
        .login(own.reveal(), "mine".into(), origin.clone())
        .await
        .unwrap();
    assert_eq!((token.scopes, token.expires_at), (small.scopes, small.expires_at));

    // For somebody else, an admin gives what that one may; people are told so.
    let ann = world.user("ann", 1).await;
    let others = code_of(&UserSelector::Id(ann.user)).await;
    let (token, _) = control
        .login(others.reveal(), "hers".into(), origin.clone())
        .await
        .unwrap();
    assert_eq!(token.scopes, Scope::of_role(Role::Member));
    assert!(token.expires_at > small.expires_at);

    // It ends with the token that made it, long before its own day is over.
    let own = code_of(&UserSelector::Me).await;
    world.pass(Duration::from_secs(601));
    let late = control.login(own.reveal(), "late".into(), origin).await;
    assert_eq!(code(late), ProblemCode::Unauthenticated);
}
