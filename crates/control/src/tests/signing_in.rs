//! Tokens.

use model::ProblemCode;

use super::world::World;

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
