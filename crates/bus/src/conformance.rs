//! The suite that every inside of [`Bus`] passes: what its users rely on, asked of a living bus.
//!
//! It makes no assumption on what else is on the bus, as long as the hosts it is given are its own and nobody else
//! takes reports.

use std::time::Duration;

use model::{HostId, Status, VmId};

use crate::{Bus, BusError, Reports};

/// What a bus did not keep.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A call failed that must not.
    #[error("a call failed in the suite")]
    Bus(#[from] BusError),
    /// A message did not come.
    #[error("{check}: nothing came within {LIMIT:?}")]
    Late {
        /// Which promise.
        check: &'static str,
    },
    /// Something else came than was promised.
    #[error("{check}: {got}")]
    Broken {
        /// Which promise.
        check: &'static str,
        /// What was seen.
        got: String,
    },
}

/// How long a message may take; far above what a broker on the same machine needs.
const LIMIT: Duration = Duration::from_secs(10);

/// Asks everything of a bus. `host` gives an id that nobody else uses, another at each call.
///
/// # Errors
/// The first promise that is not kept.
pub async fn all(bus: &Bus, mut host: impl FnMut() -> HostId) -> Result<(), Failure> {
    late_reader_gets_the_newest_plan(bus, host()).await?;
    replaced_plans_are_skipped(bus, host()).await?;
    plans_go_to_their_host(bus, host(), host()).await?;
    reports_come_in_order(bus, host()).await?;
    unacknowledged_reports_come_again(bus, host()).await?;
    a_flood_drops_only_its_own_oldest(bus, host(), host()).await?;
    status_changes_are_heard(bus).await
}

async fn late_reader_gets_the_newest_plan(bus: &Bus, host: HostId) -> Result<(), Failure> {
    let check = "a late reader gets the newest plan";
    bus.publish_plan(host, b"1".to_vec()).await?;
    bus.publish_plan(host, b"2".to_vec()).await?;
    let mut plans = bus.plans(host);
    expect(check, within(check, plans.next()).await??, b"2")
}

async fn replaced_plans_are_skipped(bus: &Bus, host: HostId) -> Result<(), Failure> {
    let check = "a reader ends with the newest plan";
    let mut plans = bus.plans(host);
    for number in 0..100_u8 {
        bus.publish_plan(host, vec![number]).await?;
    }
    // A broker may hand out some older ones first, never after a newer one.
    let mut last = 0;
    while last != 99 {
        let plan = within(check, plans.next()).await??;
        match plan.as_slice() {
            [number] if *number >= last => last = *number,
            other => return broken(check, &other),
        }
    }
    Ok(())
}

async fn plans_go_to_their_host(bus: &Bus, one: HostId, other: HostId) -> Result<(), Failure> {
    let check = "a plan goes to its host only";
    let mut plans = bus.plans(other);
    bus.publish_plan(one, b"one".to_vec()).await?;
    bus.publish_plan(other, b"other".to_vec()).await?;
    expect(check, within(check, plans.next()).await??, b"other")
}

async fn reports_come_in_order(bus: &Bus, host: HostId) -> Result<(), Failure> {
    let check = "reports of a host come in order";
    let mut reports = bus.reports();
    for number in 0..5_u8 {
        bus.publish_report(host, vec![number]).await?;
    }
    for number in 0..5_u8 {
        take(check, &mut reports, host, &[number]).await?;
    }
    Ok(())
}

async fn unacknowledged_reports_come_again(bus: &Bus, host: HostId) -> Result<(), Failure> {
    let check = "a report that was not acknowledged comes again";
    bus.publish_report(host, b"a".to_vec()).await?;
    bus.publish_report(host, b"b".to_vec()).await?;
    let mut first = bus.reports();
    within(check, first.next()).await??.ack();
    let unacknowledged = within(check, first.next()).await??;
    drop(first);
    drop(unacknowledged);
    take(check, &mut bus.reports(), host, b"b").await
}

async fn a_flood_drops_only_its_own_oldest(bus: &Bus, quiet: HostId, loud: HostId) -> Result<(), Failure> {
    let check = "a host that floods loses only its own oldest reports";
    bus.publish_report(quiet, b"quiet".to_vec()).await?;
    for number in 0..10_000_u32 {
        bus.publish_report(loud, number.to_be_bytes().to_vec()).await?;
    }
    let mut reports = bus.reports();
    take(check, &mut reports, quiet, b"quiet").await?;
    loop {
        let delivery = within(check, reports.next()).await??;
        let last = delivery.bytes() == 9_999_u32.to_be_bytes();
        delivery.ack();
        if last {
            return Ok(());
        }
    }
}

async fn status_changes_are_heard(bus: &Bus) -> Result<(), Failure> {
    let check = "a listener hears a status change";
    let vm = VmId::from_random([9; 16]);
    let mut statuses = bus.statuses();
    bus.publish_status(vm, Status::Running, b"why".to_vec()).await?;
    let message = within(check, statuses.next()).await??;
    if (message.vm, message.status) != (vm, Status::Running) {
        return broken(check, &message);
    }
    expect(check, message.bytes.to_vec(), b"why")
}

async fn take(check: &'static str, reports: &mut Reports, host: HostId, bytes: &[u8]) -> Result<(), Failure> {
    let delivery = within(check, reports.next()).await??;
    if delivery.host() != host {
        return broken(check, &delivery.host());
    }
    let got = delivery.bytes().to_vec();
    delivery.ack();
    expect(check, got, bytes)
}

async fn within<T>(check: &'static str, message: impl Future<Output = T>) -> Result<T, Failure> {
    let waited = tokio::time::timeout(LIMIT, message).await;
    waited.map_err(|_| Failure::Late { check })
}

fn expect(check: &'static str, got: Vec<u8>, wanted: &[u8]) -> Result<(), Failure> {
    if got == wanted {
        Ok(())
    } else {
        broken(check, &got)
    }
}

fn broken(check: &'static str, got: &impl std::fmt::Debug) -> Result<(), Failure> {
    Err(Failure::Broken {
        check,
        got: format!("{got:?}"),
    })
}
