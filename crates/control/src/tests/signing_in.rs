//! Tokens.

use model::{Power, ProblemCode, Role, Status};

use store::AuditFilter;

use super::people::{code, who};
use super::world::World;
use crate::{CreateToken, Origin, UserSelector};

#[tokio::test]
async fn the_admin_token_is_made_once_and_kept_as_a_digest() {
    let world = World::new().await;
    assert_eq!(world.control.admin_token_ensure().await.unwrap(), None);
    let renewed = world.control.admin_token_renew().await.unwrap();
    assert!(
        world
            .control
            .authenticate(renewed.reveal(), crate::Origin::default())
            .await
            .is_ok()
    );
    assert!(!format!("{renewed:?}").contains(renewed.reveal()));
    let renewed_again = world.control.admin_token_renew().await.unwrap();
    let old = world
        .control
        .authenticate(renewed.reveal(), crate::Origin::default())
        .await
        .unwrap_err();
    assert_eq!(old.problem.code, ProblemCode::Unauthenticated);
    let path = world.database();
    let _world = world
        .restart(|_| {
            let bytes = std::fs::read(&path).unwrap();
            let needle = renewed_again.reveal().as_bytes();
            assert!(!bytes.windows(needle.len()).any(|window| window == needle));
        })
        .await;
}

#[tokio::test]
async fn nobody_comes_in_with_something_else() {
    let world = World::new().await;
    for text in [
        "",
        "admin",
        "pwt_",
        &format!("pwt_{}", "0".repeat(33)),
        "pwt_\u{0}",
    ] {
        let error = world
            .control
            .authenticate(text, crate::Origin::default())
            .await
            .unwrap_err();
        assert_eq!(error.problem.code, ProblemCode::Unauthenticated, "{text:?}");
    }
}

/// Nobody else is called so, and what else is called so is not the file's.
#[tokio::test]
async fn the_local_admin_and_its_token_are_known_by_their_ids() {
    let world = World::new().await;
    let (control, admin) = (&world.control, &world.caller);
    let name = || "admin".parse().unwrap();
    assert_eq!(
        code(control.team_create(admin, name()).await),
        ProblemCode::InvalidValue
    );
    let wish = CreateToken {
        name: "admin".into(),
        ..CreateToken::default()
    };
    let (_, by_hand) = control
        .token_create(admin, &UserSelector::Me, wish)
        .await
        .unwrap();
    control.logout(admin).await.unwrap();
    let made = control.admin_token_ensure().await.unwrap();
    assert!(made.is_some(), "the one of that name is not the file's");
    control.admin_token_renew().await.unwrap();
    let by_hand = control.authenticate(by_hand.reveal(), Origin::default()).await;
    assert!(by_hand.is_ok(), "the file's alone is renewed");

    // Renewed over the API, as `pitwall admin-token rotate` does it, it is the file's still.
    let (renewed, _) = control.token_renew(&world.file_admin().await).await.unwrap();
    assert_eq!(control.admin_token_ensure().await.unwrap(), None);
    let text = control.admin_token_renew().await.unwrap();
    let now = control
        .authenticate(text.reveal(), Origin::default())
        .await
        .unwrap();
    let gone = control
        .token_get(&now, &UserSelector::Me, &renewed.id.to_string())
        .await;
    assert_eq!(code(gone), ProblemCode::NotFound);
}

impl World {
    async fn file_admin(&self) -> crate::Caller {
        let text = self.control.admin_token_renew().await.unwrap();
        self.control
            .authenticate(text.reveal(), Origin::default())
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_start_lets_the_local_admin_in_with_all_it_has() {
    let (world, mut host) = World::with_host().await;
    let boss = world.person("boss", Role::Admin).await;
    let id = world.create("web").await.asked.id;
    world.round(&mut host).await;
    let local = UserSelector::Id(world.caller.user);
    world.control.user_disable(&boss, &local).await.unwrap();
    world
        .control
        .user_change(&boss, &local, Some(Role::Member))
        .await
        .unwrap();
    world.round(&mut host).await;
    assert_eq!(
        world.control.vm_get(&boss, &id.into()).await.unwrap().status,
        Status::Stopped
    );

    let world = world.restart(|_| {}).await;
    let back = world.control.user_get(&boss, &local).await.unwrap();
    assert_eq!((back.role, back.disabled), (Role::Admin, false));
    world.deliver(&host.report()).await;
    world.round(&mut host).await;
    let vm = world.get(id).await.unwrap();
    assert_eq!(
        (vm.status, vm.asked.body.power, vm.asked.body.boot),
        (Status::Running, Power::On, 2)
    );
    let audit = world
        .control
        .audit_list(&boss, AuditFilter::default(), &crate::PageRequest::default())
        .await;
    let entries = audit.unwrap().items;
    assert!(
        entries
            .iter()
            .any(|entry| entry.operation == "user_enable" && entry.user.is_none())
    );

    // One that was removed is made anew, under the name that was kept for it.
    world
        .control
        .user_delete(&boss, &local, Some(&who(&boss)))
        .await
        .unwrap();
    let world = world.restart(|_| {}).await;
    let made = world.control.user_get(&boss, &"admin".parse().unwrap()).await;
    assert_ne!(UserSelector::Id(made.unwrap().id), local);
}
