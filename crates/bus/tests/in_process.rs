//! The in-process bus against the suite, and what is its own: closing, and the bound on a taker.

use std::time::Duration;

use bus::{Bus, BusError, conformance};
use model::HostId;

fn hosts() -> impl FnMut() -> HostId {
    let mut next = 0;
    move || {
        next += 1;
        HostId::from_random([next; 16])
    }
}

#[tokio::test]
async fn the_suite() {
    if let Err(failure) = conformance::all(&Bus::in_process(), hosts()).await {
        panic!("{failure}");
    }
}

#[tokio::test]
async fn a_closed_bus_ends_its_readers() {
    let bus = Bus::in_process();
    let host = hosts()();
    let (mut plans, mut reports, mut statuses) = (bus.plans(host), bus.reports(), bus.statuses());
    let ended = tokio::spawn(async move {
        (
            plans.next().await.is_err(),
            reports.next().await.is_err(),
            statuses.next().await.is_err(),
        )
    });
    bus.close();
    assert_eq!(ended.await.unwrap(), (true, true, true));
    assert_eq!(
        bus.publish_report(host, vec![]).await,
        Err(BusError::Closed {
            operation: "publish a report"
        })
    );
    assert!(bus.plans(host).next().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_taker_that_never_acknowledges_gets_no_more() {
    let bus = Bus::in_process();
    let mut next_host = hosts();
    for _ in 0..100 {
        bus.publish_report(next_host(), vec![1]).await.unwrap();
    }
    let mut reports = bus.reports();
    let mut held = Vec::new();
    while let Ok(delivery) = tokio::time::timeout(Duration::from_secs(1), reports.next()).await {
        held.push(delivery.unwrap());
    }
    assert_eq!(held.len(), 32);
    held.pop().unwrap().ack();
    assert!(reports.next().await.is_ok());
}
