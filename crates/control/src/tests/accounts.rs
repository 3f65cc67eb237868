//! Users, their keys and tokens: who gets in, with what, and what becomes of their machines.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{Phase, Power, ProblemCode, PublicKey, ReasonCode, Right, Role, Scope, Status, VmId};

use super::world::{KEY, World, request};
use crate::{
    Caller, CreateToken, CreateVm, Error, Operation, Origin, PageRequest, PrincipalSelector, Until,
    UserSelector, VmView,
};

const HOUR: Duration = Duration::from_secs(3600);
const ANNS: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG/3j+Ty/cVRSnMedzAQw5IgHTN08zustA8Z7vejqkUw ann@laptop";

fn named(name: &str) -> UserSelector {
    name.parse().unwrap()
}

fn code<T: std::fmt::Debug>(refused: Result<T, Error>) -> ProblemCode {
    refused.unwrap_err().problem.code
}

async fn sign_in(world: &World, text: &str) -> Result<Caller, Error> {
    world.control.authenticate(text, Origin::default()).await
}

async fn login(world: &World, text: &str) -> Result<crate::TokenText, Error> {
    let signed_in = world.control.login(text, "a test".to_owned(), Origin::default());
    signed_in.await.map(|(_, text)| text)
}

/// A VM of somebody's, with the key of their account alone.
async fn create_as(world: &World, caller: &Caller, name: &str) -> Result<VmView, Error> {
    let wish = CreateVm {
        keys: vec![],
        ..request(name)
    };
    world.control.vm_create(caller, wish).await
}

async fn add_key(world: &World, caller: &Caller, line: &str) -> PublicKey {
    let key = line.parse().unwrap();
    let added = world.control.key_create(caller, &UserSelector::Me, key).await;
    added.unwrap().key
}

async fn opened_by(world: &World, vm: VmId) -> Vec<String> {
    let vm = world.get(vm).await.unwrap();
    let keys = vm.asked.body.authorized_keys.iter();
    keys.map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_code_is_good_once_and_for_a_day() {
    let world = World::new().await;
    let control = &world.control;
    let (_, first) = control
        .user_create(&world.caller, "ann".parse().unwrap(), Role::Member)
        .await
        .unwrap();
    assert!(!format!("{first:?}").contains(first.reveal()));
    let (_, second) = control.user_code(&world.caller, &named("ann")).await.unwrap();
    let replaced = login(&world, first.reveal()).await;
    assert_eq!(code(replaced), ProblemCode::Unauthenticated);
    world.pass(23 * HOUR);
    let token = login(&world, &second.reveal().to_lowercase()).await.unwrap();
    let ann = sign_in(&world, token.reveal()).await.unwrap();
    assert_eq!((ann.name.as_str(), ann.role), ("ann", Role::Member));
    assert_eq!(ann.scopes, Scope::of_role(Role::Member));
    assert_eq!(
        code(login(&world, second.reveal()).await),
        ProblemCode::Unauthenticated,
        "it was used"
    );

    let (_, third) = control.user_code(&world.caller, &named("ann")).await.unwrap();
    world.pass(24 * HOUR);
    assert_eq!(
        code(login(&world, third.reveal()).await),
        ProblemCode::Unauthenticated,
        "it is too old"
    );
    // The token is a day old by now.
    world.pass(89 * 24 * HOUR - HOUR);
    assert!(
        sign_in(&world, token.reveal()).await.is_ok(),
        "at 89 d 23 h it is good"
    );
    world.pass(HOUR);
    assert_eq!(
        code(sign_in(&world, token.reveal()).await),
        ProblemCode::TokenExpired
    );
}

#[tokio::test]
async fn there_is_always_an_admin_who_may_come_in() {
    let world = World::new().await;
    let (control, admin) = (&world.control, named("admin"));
    let refusals = async || {
        [
            code(control.user_disable(&world.caller, &admin).await),
            code(
                control
                    .user_change(&world.caller, &admin, Some(Role::Member))
                    .await,
            ),
            code(control.user_delete(&world.caller, &admin, None).await),
        ]
    };
    assert_eq!(refusals().await, [ProblemCode::LastAdmin; 3]);
    let bob = world.person("bob", Role::Admin).await;
    control.user_disable(&world.caller, &named("bob")).await.unwrap();
    assert_eq!(
        refusals().await,
        [ProblemCode::LastAdmin; 3],
        "one who is disabled is none"
    );
    control.user_enable(&world.caller, &named("bob")).await.unwrap();
    control
        .user_change(&world.caller, &admin, Some(Role::Member))
        .await
        .unwrap();
    let refused = control.user_delete(&bob, &named("bob"), None).await;
    assert_eq!(code(refused), ProblemCode::LastAdmin);
}

#[tokio::test]
async fn what_a_disabled_user_owns_is_off_and_comes_back_as_it_was() {
    let (world, mut host) = World::with_host().await;
    let ann = world.person("ann", Role::Member).await;
    add_key(&world, &ann, ANNS).await;
    let mut ids = Vec::new();
    for name in ["runs", "stopped", "halted"] {
        ids.push(create_as(&world, &ann, name).await.unwrap().asked.id);
    }
    let [runs, stopped, halted] = ids[..] else {
        unreachable!()
    };
    world.round(&mut host).await;
    world.control.vm_stop(&ann, &stopped.into()).await.unwrap();
    world.round(&mut host).await;
    host.power_off(halted);
    world.deliver(&host.report()).await;

    world
        .control
        .user_disable(&world.caller, &named("ann"))
        .await
        .unwrap();
    let told = world.get(runs).await.unwrap();
    assert_eq!(
        (told.status, told.asked.body.power),
        (Status::Stopping, Power::On)
    );
    world.round(&mut host).await;
    let off = world.get(runs).await.unwrap();
    assert_eq!(
        (off.status, off.reason.unwrap().code),
        (Status::Stopped, ReasonCode::OwnerDisabled)
    );
    assert_eq!(world.get(stopped).await.unwrap().reason, None);
    assert!(host.held.values().all(|held| held.phase == Phase::Stopped));
    let refused = world
        .control
        .vm_start(&world.caller, &runs.into())
        .await
        .unwrap_err();
    assert_eq!(refused.problem.code, ProblemCode::WrongStatus);
    assert!(
        refused.problem.detail.contains("its owner ann is disabled"),
        "{refused}"
    );
    assert_eq!(opened_by(&world, runs).await, [""; 0]);

    world
        .control
        .user_enable(&world.caller, &named("ann"))
        .await
        .unwrap();
    world.round(&mut host).await;
    let boots: Vec<_> = ids.iter().map(|id| host.held[id].boots).collect();
    assert_eq!(boots, [2, 1, 1], "what ran runs again, and nothing else");
    assert_eq!(world.get(runs).await.unwrap().status, Status::Running);
    assert_eq!(world.get(halted).await.unwrap().status, Status::Stopped);
    assert_eq!(opened_by(&world, runs).await, [ANNS]);
}

#[tokio::test]
async fn an_account_s_keys_open_what_its_user_may_use() {
    let (world, _) = World::with_host().await;
    let ann = world.person("ann", Role::Member).await;
    let id = world.create("web").await.asked.id;
    let with_ann = PrincipalSelector::Id(ann.user.into());
    world
        .control
        .share_put(&world.caller, &id.into(), &with_ann, Right::Use)
        .await
        .unwrap();
    let before = world.get(id).await.unwrap().asked.generation;
    let key = add_key(&world, &ann, ANNS).await;
    assert_eq!(opened_by(&world, id).await, [KEY, ANNS]);
    add_key(&world, &ann, ANNS).await;
    assert_eq!(
        world.get(id).await.unwrap().asked.generation,
        before + 1,
        "the same again asks for nothing"
    );

    world
        .control
        .user_disable(&world.caller, &named("ann"))
        .await
        .unwrap();
    assert_eq!(opened_by(&world, id).await, [KEY]);
    let barred = world.get(id).await.unwrap().asked.body.barred;
    assert_eq!(barred, BTreeSet::from([key.fingerprint()]), "open sessions end");
    world
        .control
        .user_enable(&world.caller, &named("ann"))
        .await
        .unwrap();
    assert_eq!(opened_by(&world, id).await, [KEY, ANNS]);

    let remove = async || {
        world
            .control
            .key_delete(&ann, &UserSelector::Me, &key.fingerprint())
            .await
    };
    remove().await.unwrap();
    assert_eq!(opened_by(&world, id).await, [KEY]);
    assert_eq!(
        world.get(id).await.unwrap().asked.body.barred,
        [].into(),
        "open sessions stay"
    );
    assert_eq!(code(remove().await), ProblemCode::NotFound);
}

#[tokio::test]
async fn a_vm_that_nobody_could_sign_in_to_is_refused_unless_it_is_meant() {
    let (world, _) = World::with_host().await;
    let ann = world.person("ann", Role::Member).await;
    assert_eq!(code(create_as(&world, &ann, "web").await), ProblemCode::NoSshKey);
    let key = add_key(&world, &ann, ANNS).await;
    let bare = |name: &str| CreateVm {
        keys: vec![],
        account_keys: false,
        ..request(name)
    };
    let refused = world.control.vm_create(&ann, bare("web")).await;
    assert_eq!(code(refused), ProblemCode::NoSshKey);
    let meant = CreateVm {
        no_ssh_keys: true,
        ..bare("meant")
    };
    let meant = world.control.vm_create(&ann, meant).await.unwrap().asked.id;
    assert_eq!(opened_by(&world, meant).await, [""; 0]);
    let web = create_as(&world, &ann, "web").await.unwrap().asked.id;
    assert_eq!(opened_by(&world, web).await, [ANNS]);
    let removed = world
        .control
        .key_delete(&ann, &UserSelector::Me, &key.fingerprint())
        .await;
    removed.unwrap();
    assert_eq!(opened_by(&world, web).await, [""; 0], "the last key may go");
}

#[tokio::test]
async fn a_user_who_owns_vms_goes_only_with_an_heir_and_leaves_the_name() {
    let (world, mut host) = World::with_host().await;
    let (ann, bob) = (
        world.person("ann", Role::Member).await,
        world.person("bob", Role::Member).await,
    );
    add_key(&world, &ann, ANNS).await;
    let id = create_as(&world, &ann, "web").await.unwrap().asked.id;
    let going = create_as(&world, &ann, "old").await.unwrap().asked.id;
    world.control.vm_delete(&ann, &going.into()).await.unwrap();
    world.round(&mut host).await;
    let delete = async |heir: Option<&PrincipalSelector>| {
        world
            .control
            .user_delete(&world.caller, &named("ann"), heir)
            .await
    };
    assert_eq!(code(delete(None).await), ProblemCode::OwnsVms);
    let to_bob = PrincipalSelector::Id(bob.user.into());
    delete(Some(&to_bob)).await.unwrap();
    let web = world.control.vm_get(&bob, &"web".parse().unwrap()).await.unwrap();
    assert_eq!((web.asked.id, web.status), (id, Status::Running));
    assert_eq!(opened_by(&world, id).await, [""; 0]);
    assert_eq!(web.asked.body.barred.len(), 1, "what ann has open ends");
    let still = world.control.still_may(&ann, None, Operation::VmList).await;
    assert_eq!(code(still), ProblemCode::Unauthenticated);
    assert_eq!(code(delete(None).await), ProblemCode::NotFound);
    let another = world.person("ann", Role::Member).await;
    assert_ne!(another.user, ann.user);
    let refused = world
        .control
        .user_create(&world.caller, "bob".parse().unwrap(), Role::Member)
        .await;
    assert_eq!(code(refused), ProblemCode::NameTaken);
}

#[tokio::test]
async fn an_account_is_there_for_its_user_and_admins_alone() {
    let world = World::new().await;
    let (ann, bob) = (
        world.person("ann", Role::Member).await,
        world.person("bob", Role::Member).await,
    );
    let control = &world.control;
    let anns = UserSelector::Id(ann.user);
    let page = PageRequest::default();
    let foreign = control.user_get(&bob, &anns).await.unwrap_err().problem;
    let absent = control
        .user_get(&bob, &named("nobody"))
        .await
        .unwrap_err()
        .problem;
    assert_eq!(
        (foreign.code, &foreign.hint),
        (ProblemCode::NotFound, &absent.hint)
    );
    assert_eq!(
        code(control.key_list(&bob, &anns, &page).await),
        ProblemCode::NotFound
    );
    assert_eq!(
        code(control.token_list(&bob, &anns, &page).await),
        ProblemCode::NotFound
    );
    assert_eq!(
        code(control.user_disable(&bob, &anns).await),
        ProblemCode::AdminOnly
    );
    let names = async |caller: &Caller| {
        let users = control.user_list(caller, &page).await.unwrap();
        users
            .items
            .into_iter()
            .map(|user| user.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&bob).await, ["bob"]);
    assert_eq!(names(&world.caller).await, ["admin", "ann", "bob"]);
    let two = PageRequest {
        limit: Some(2),
        cursor: None,
    };
    let first = control.user_list(&world.caller, &two).await.unwrap();
    let rest = PageRequest {
        limit: Some(2),
        cursor: first.next,
    };
    let rest = control.user_list(&world.caller, &rest).await.unwrap();
    assert_eq!(
        (rest.items[0].name.as_str(), rest.items.len(), rest.next),
        ("bob", 1, None)
    );
}

#[tokio::test]
async fn a_token_makes_none_beyond_itself_and_ends_when_it_is_told() {
    let world = World::new().await;
    let ann = world.person("ann", Role::Member).await;
    let make = async |caller: &Caller, scopes: &[Scope], until: Option<Until>| {
        let wish = CreateToken {
            name: "a program".to_owned(),
            scopes: Some(scopes.iter().copied().collect()),
            until,
        };
        world.control.token_create(caller, &UserSelector::Me, wish).await
    };
    let (small, text) = make(&ann, &[Scope::VmRead, Scope::AccountWrite], Some(Until::For(600)))
        .await
        .unwrap();
    let caller = sign_in(&world, text.reveal()).await.unwrap();
    assert_eq!(caller.token_expires_at, small.expires_at);
    assert_eq!(
        code(make(&caller, &[Scope::VmWrite], None).await),
        ProblemCode::InsufficientScope
    );
    assert_eq!(
        code(make(&caller, &[Scope::VmRead], Some(Until::For(601))).await),
        ProblemCode::InvalidValue
    );
    assert_eq!(
        code(make(&ann, &[Scope::Admin], None).await),
        ProblemCode::InsufficientScope
    );
    assert_eq!(
        code(
            world
                .control
                .key_list(&caller, &UserSelector::Me, &PageRequest::default())
                .await
        ),
        ProblemCode::InsufficientScope
    );
    let (heir, _) = make(&caller, &[Scope::VmRead], None).await.unwrap();
    assert_eq!(heir.expires_at, small.expires_at);

    world.pass(Duration::from_secs(61));
    sign_in(&world, text.reveal()).await.unwrap();
    world.control.token_uses_keep().await.unwrap();
    let get = async || {
        world
            .control
            .token_get(&ann, &UserSelector::Me, &small.id.to_string())
            .await
    };
    let used = get().await.unwrap().last_used_at.unwrap();
    assert_eq!(used.to_string(), "2026-11-22T12:01:00Z");

    world
        .control
        .token_delete(&ann, &UserSelector::Me, &small.id.to_string())
        .await
        .unwrap();
    assert_eq!(code(get().await), ProblemCode::NotFound);
    assert_eq!(
        code(sign_in(&world, text.reveal()).await),
        ProblemCode::Unauthenticated
    );
}

#[tokio::test]
async fn a_token_of_one_who_was_an_admin_is_a_member_s() {
    let world = World::new().await;
    let (_, text) = world
        .control
        .user_create(&world.caller, "bob".parse().unwrap(), Role::Admin)
        .await
        .unwrap();
    let token = login(&world, text.reveal()).await.unwrap();
    assert!(
        sign_in(&world, token.reveal())
            .await
            .unwrap()
            .scopes
            .contains(&Scope::Admin)
    );
    world
        .control
        .user_change(&world.caller, &named("bob"), Some(Role::Member))
        .await
        .unwrap();
    let bob = sign_in(&world, token.reveal()).await.unwrap();
    assert!(!bob.is_admin() && !bob.scopes.contains(&Scope::Admin));
}

#[tokio::test]
async fn a_token_is_renewed_and_given_up() {
    let world = World::new().await;
    let (new, text) = world.control.token_renew(&world.caller).await.unwrap();
    assert_eq!((new.name.as_str(), new.expires_at), ("admin", None));
    let renewed = sign_in(&world, text.reveal()).await.unwrap();
    world.control.logout(&world.caller).await.unwrap();
    let gone = world
        .control
        .still_may(&world.caller, None, Operation::VmList)
        .await;
    assert_eq!(code(gone), ProblemCode::Unauthenticated);
    assert_eq!(renewed.scopes, world.caller.scopes);
}
