//! What is asked about the sessions of people: which must not exist, and for how long there may be none.

use std::time::Duration;

use driver::Needs;
use model::{Idle, Phase, ReasonCode, VmId};
use orchestrator::BootLimits;
use wire::guest::Usage;
use wire::link::StreamRequest;

use crate::host::{Host, LIMIT, seen, vm};

const FINGERPRINT: &str = "SHA256:ruDnU8aEKkqSZ2Nq5Lk3jBTkxoQkEfGAYBhrA4Iv2zg";

/// A host with a VM that runs, whose guest speaks at most this protocol.
async fn running(protocol: u32) -> (Host, VmId) {
    let boots = BootLimits {
        at_once: 2,
        patience: LIMIT,
    };
    let mut host = Host::start(Needs::default(), boots).await;
    host.guests.protocol.send_replace(protocol);
    let mut asked = vm(1, "debian:12");
    asked.body.as_mut().unwrap().options.console = true;
    let id = asked.id;
    host.ask(vec![asked]).await;
    assert_eq!(host.settled(id).await.phase, Phase::Running);
    (host, id)
}

async fn until_idle(host: &mut Host, vm: VmId, idle: Idle) {
    let told = format!("it is {idle:?}");
    host.report(&told, |report| {
        seen(report, vm).is_some_and(|seen| seen.idle == idle)
    })
    .await;
}

#[tokio::test]
async fn barred_keys_reach_the_guest_and_an_older_one_is_told_apart() {
    for (protocol, outdated) in [(2, Some(ReasonCode::GuestOutdated)), (3, None)] {
        let (mut host, id) = running(protocol).await;
        host.change(id, |body| body.barred = [FINGERPRINT.to_owned()].into())
            .await;
        let seen = host.settled(id).await;
        let code = seen.reason.as_ref().map(|reason| reason.code);
        assert_eq!((seen.phase, code), (Phase::Running, outdated));
        assert_eq!(host.guests.config(id).unwrap().ssh.barred, [FINGERPRINT]);
        host.change(id, |body| {
            body.barred.clear();
            body.boot += 1;
        })
        .await;
        assert_eq!(host.settled(id).await.reason, None);
        assert!(host.guests.config(id).unwrap().ssh.barred.is_empty());
    }
}

#[tokio::test]
async fn a_vm_that_nobody_uses_is_told_to_be_idle_until_somebody_does() {
    let (mut host, id) = running(3).await;
    let asked = host.guests.config(id).unwrap().usage_every;
    assert_eq!(asked, None, "who does not want to know does not ask");
    host.change(id, |body| body.idle_after = Some(3)).await;
    host.settled(id).await;
    until_idle(&mut host, id, Idle::Soon).await;
    until_idle(&mut host, id, Idle::Idle).await;
    let usage = Usage {
        sessions: 1,
        logins: 1,
        busy: Duration::ZERO,
    };
    host.guests.usage.send_replace(usage);
    until_idle(&mut host, id, Idle::Active).await;
    host.guests.usage.send_replace(Usage { sessions: 0, ..usage });
    until_idle(&mut host, id, Idle::Idle).await;
    // A console is use, and so is its end.
    let request = StreamRequest::Console { interactive: false };
    let console = host.link.open(host.id, id, request).await.unwrap();
    until_idle(&mut host, id, Idle::Active).await;
    drop(console);
    until_idle(&mut host, id, Idle::Soon).await;
    host.change(id, |body| body.boot += 1).await;
    assert_eq!(host.settled(id).await.idle, Idle::Active);
    until_idle(&mut host, id, Idle::Idle).await;
    host.change(id, |body| body.idle_after = None).await;
    assert_eq!(host.settled(id).await.idle, Idle::Active);
}

#[tokio::test]
async fn a_guest_that_cannot_tell_is_never_idle() {
    let (mut host, id) = running(2).await;
    host.change(id, |body| body.idle_after = Some(1)).await;
    let code = host.settled(id).await.reason.map(|reason| reason.code);
    assert_eq!(code, Some(ReasonCode::GuestOutdated));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let report = host.report("any", |_| true).await;
    assert_eq!(seen(&report, id).unwrap().idle, Idle::Active);
}
