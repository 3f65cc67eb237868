//! Rates: per caller, and per address for those who are nobody.

use server::{Edges, Rate, Rates};

use crate::served::Served;

const THREE: Rate = Rate {
    // So slow that no test gets the next one.
    per_second: 1,
    burst: 3,
};

async fn served(caller: Rate, address: Rate) -> Served {
    Served::with(Edges {
        rates: Rates { caller, address },
        trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
        ..Edges::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_above_the_rate_is_told_when_to_come_back() {
    let served = served(THREE, Rate::default()).await;
    let authorization = served.authorization();
    let lines = [authorization.as_str()];
    // So many at once that the second in which one more is free does not matter.
    let asked = (0..8).map(|_| served.ask("GET", "/v1/vms", &lines));
    let answers = futures_util::future::join_all(asked).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    let served_well = answers.iter().filter(|answer| answer.status == 200).count();
    assert!(
        (3..=4).contains(&served_well) && refused.len() + served_well == 8,
        "{answers:?}"
    );
    for answer in refused {
        assert_eq!(answer.code(), "rate_limited");
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert_eq!(seconds, 1, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_tries_tokens_spoils_it_for_nobody_who_has_one() {
    let served = served(Rate::default(), THREE).await;
    let wrong = ["authorization: Bearer pwt_wrong"];
    let tried = (0..8).map(|_| served.ask("GET", "/v1/vms", &wrong));
    let codes: Vec<_> = futures_util::future::join_all(tried)
        .await
        .iter()
        .map(|answer| answer.code())
        .collect();
    let unknown = codes.iter().filter(|code| *code == "unauthenticated").count();
    let limited = codes.iter().filter(|code| *code == "rate_limited").count();
    assert!((3..=4).contains(&unknown) && unknown + limited == 8, "{codes:?}");
    // Asked from the same address.
    assert_eq!(
        served
            .ask("GET", "/v1/vms", &[&served.authorization()])
            .await
            .status,
        200
    );
    // From another one behind the same proxy.
    let elsewhere = ["x-forwarded-for: 198.51.100.7"];
    assert_eq!(
        served.ask("GET", "/v1/vms", &elsewhere).await.code(),
        "unauthenticated"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_is_paid_for_by_its_address_whatever_token_comes_with_it() {
    for (method, path) in [
        ("GET", "/v1/version"),
        ("GET", "/v1/nowhere"),
        ("DELETE", "/v1/version"),
    ] {
        let served = served(Rate::default(), THREE).await;
        let authorization = served.authorization();
        let lines = [authorization.as_str()];
        let asked = (0..8).map(|_| served.ask(method, path, &lines));
        let answers = futures_util::future::join_all(asked).await;
        let limited = answers.iter().filter(|answer| answer.status == 429).count();
        assert!((4..=5).contains(&limited), "{method} {path}: {answers:?}");
    }
}
