//! What somebody has open on a VM ends when the right to it is taken away.

use std::time::{Duration, Instant};

use api::frame::End;
use api::{Client, ClientConfig, CreateUser, LogQuery, PageQuery, PutShare};
use futures_util::StreamExt;

use crate::{Running, all, problem, program, start, until};

/// From the answer that took it away until the end is told.
const AT_MOST: Duration = Duration::from_secs(2);

/// A user who signed in, and may use the VM.
async fn ann(running: &Running) -> Client {
    let wish = CreateUser {
        name: "ann".into(),
        role: None,
    };
    let user = running.client.user_create(&wish).await.unwrap();
    let client = |token: Option<String>| {
        let config = ClientConfig {
            url: format!("http://{}", running.address),
            token,
            user_agent: "test/1".into(),
        };
        Client::new(config).unwrap()
    };
    let token = client(None).login(&user.secret.unwrap(), "test").await.unwrap();
    let share = PutShare { right: "use".into() };
    running.client.vm_share_put("web", "ann", &share).await.unwrap();
    client(token.secret)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_ends_ends_programs_and_logs() {
    let running = start().await;
    let ann = ann(&running).await;
    let mut deaf = ann.vm_exec("web.admin", &program(&["deaf"])).await.unwrap();
    let mut cat = ann.vm_exec("web", &program(&["cat"])).await.unwrap();
    let typed = api::frame::Input::Data(b"hello".to_vec().into());
    cat.writer.send(&typed).await.unwrap();
    until(&mut cat.reader, "hello").await;
    let follow = LogQuery {
        follow: true,
        ..LogQuery::default()
    };
    let mut log = ann.vm_logs("web", &follow).await.unwrap();
    for _ in 0..5 {
        log.next().await.unwrap().unwrap();
    }
    let mut own = running.exec(&["cat"]).await;

    running.client.vm_share_delete("web", "ann").await.unwrap();
    let since = Instant::now();
    for reader in [&mut deaf.reader, &mut cat.reader] {
        let (_, _, end) = all(reader).await;
        let End::Failed { code, message } = end else {
            panic!("{end:?}")
        };
        assert_eq!(code, "not_permitted");
        assert!(message.contains("there is no VM"), "{message}");
    }
    let last = log.next().await.unwrap().unwrap();
    assert_eq!(last.kind, "failed");
    assert!(log.next().await.is_none(), "it ends in order");
    assert!(since.elapsed() < AT_MOST, "{:?}", since.elapsed());
    running.vm.until_closed(2).await;
    assert_eq!(problem(ann.vm_get("web").await.unwrap_err()).0, 404);

    // What the owner has open goes on.
    own.writer.send(&typed).await.unwrap();
    until(&mut own.reader, "hello").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_disabled_and_a_token_that_is_revoked_end_them_too() {
    let running = start().await;
    let ann = ann(&running).await;
    let mut exec = ann.vm_exec("web", &program(&["deaf"])).await.unwrap();
    running.client.user_disable("ann").await.unwrap();
    let since = Instant::now();
    let (_, _, end) = all(&mut exec.reader).await;
    assert!(
        matches!(&end, End::Failed { message, .. } if message.contains("disabled")),
        "{end:?}"
    );
    assert!(since.elapsed() < AT_MOST, "{:?}", since.elapsed());
    let refused = ann.vm_share_list("web", &PageQuery::default()).await.unwrap_err();
    assert_eq!(problem(refused), (403, "user_disabled".to_owned()));

    running.client.user_enable("ann").await.unwrap();
    let mut exec = ann.vm_exec("web", &program(&["deaf"])).await.unwrap();
    ann.logout().await.unwrap();
    let (_, _, end) = all(&mut exec.reader).await;
    assert!(
        matches!(&end, End::Failed { message, .. } if message.contains("revoked")),
        "{end:?}"
    );
}
