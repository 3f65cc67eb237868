//! The reconcilers: nudged for speed, timed for truth.
//!
//! Reports and plans are read through whole, which takes a processor some milliseconds each. So each has a task of its
//! own: neither keeps the other waiting, least of all one that holds the writer's turn.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus::Delivery;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use model::{HostId, ProblemCode};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use wire::host::HostReport;

use crate::{Control, Error, chain};

/// How long intake waits before it tries a report again that could not be stored.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How often it tries one that meets a fault. Its host says the same in the next one, and other reports wait behind it.
const TRIES: u32 = 3;

/// How many bytes of plans a second are enough. After each plan the next one waits for as long as that one lasts at this pace:
/// a plan is whole, so what many changes cost grows with their number and not with that of the VMs, and never comes all
/// at once. Larger lets plans crowd out what asks for them, smaller lets a VM wait longer where many are asked for at once.
const BYTES_PER_SECOND: u32 = 1 << 20;
/// And how long they wait at most.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// How exactly times to live and leases are kept.
const LIVES_EVERY: Duration = Duration::from_secs(1);

impl Control {
    /// Drives the reconcilers until `shutdown` is done or the bus is closed. It may be stopped at any moment: what
    /// was not committed did not happen, and what was not acknowledged comes again.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let _running = self.inner.running.begin();
        let mut tasks = JoinSet::new();
        let (intake, plans) = (self.clone(), self.clone());
        tasks.spawn(async move { intake.take_reports().await });
        tasks.spawn(async move { plans.publish_plans().await });
        tokio::select! {
            () = shutdown => {}
            Some(ended) = tasks.join_next() => follow(ended),
            () = self.watch_silence() => {}
            () = self.give_secrets() => {}
            () = self.watch_lives() => {}
            () = self.tell_events() => {}
            () = self.keep_ledger() => {}
            () = self.watch_retention() => {}
            () = self.keep_token_uses() => {}
        }
        tasks.shutdown().await;
        if let Err(error) = self.ledger_write().await {
            tracing::error!(
                error = chain(&error),
                "the last audit entries could not be written"
            );
        }
        if let Err(error) = self.token_uses_keep().await {
            tracing::error!(
                error = chain(&error),
                "the uses of tokens could not be written down"
            );
        }
    }

    /// Hosts do not wait for each other: what several of them say at once is taken in at once, and what one says in its
    /// order.
    async fn take_reports(&self) {
        let mut reports = self.inner.bus.reports();
        while let Ok(first) = reports.next().await {
            let mut by_host: BTreeMap<HostId, Vec<Delivery>> = BTreeMap::new();
            let mut next = Some(first);
            while let Some(delivery) = next {
                by_host.entry(delivery.host()).or_default().push(delivery);
                next = reports.next().now_or_never().and_then(Result::ok);
            }
            let hosts = by_host.into_values().map(|theirs| self.take_in_order(theirs));
            join_all(hosts).await;
        }
    }

    async fn take_in_order(&self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            match HostReport::decode(delivery.bytes()) {
                Ok(report) if report.host == delivery.host() => {
                    self.take_until_stored(&report).await;
                    self.inner.meter.report_taken();
                }
                Ok(report) => {
                    tracing::error!(host.id = %delivery.host(), told = %report.host, "report of another host dropped");
                }
                Err(error) => {
                    tracing::error!(host.id = %delivery.host(), error = chain(&error), "unreadable report dropped");
                }
            }
            delivery.ack();
        }
    }

    /// Takes a report in, and waits while the database is held or its disk full: no other could be taken either.
    async fn take_until_stored(&self, report: &HostReport) {
        let mut faults = 0;
        while let Err(error) = self.report_take(report).await {
            faults += u32::from(error.problem.code == ProblemCode::Internal);
            if faults == TRIES {
                tracing::error!(host.id = %report.host, error = chain(&error), "a report that meets a fault is dropped");
                return;
            }
            tracing::error!(host.id = %report.host, error = chain(&error), "a report could not be stored");
            sleep(TRY_AGAIN).await;
        }
    }

    async fn publish_plans(&self) {
        loop {
            self.publish_all().await;
            let next_round = Instant::now() + self.inner.reconcile_every;
            loop {
                tokio::select! {
                    hosts = self.inner.due.take() => self.publish(hosts).await,
                    () = sleep_until(next_round) => break,
                }
            }
        }
    }

    async fn publish_all(&self) {
        match self.host_ids().await {
            Ok(hosts) => self.publish(hosts).await,
            Err(error) => tracing::error!(error = chain(&error), "the hosts could not be read"),
        }
    }

    async fn host_ids(&self) -> Result<BTreeSet<HostId>, Error> {
        let hosts = self.inner.store.read().await?.host_list().await?;
        Ok(hosts.into_iter().map(|host| host.id).collect())
    }

    /// Publishes the plans of hosts, one after the other.
    async fn publish(&self, hosts: BTreeSet<HostId>) {
        for host in hosts {
            match self.plan_publish(host).await {
                Ok(bytes) => sleep(rest(bytes)).await,
                // The next round tries again.
                Err(error) => {
                    tracing::error!(host.id = %host, error = chain(&error), "a plan could not be published");
                }
            }
        }
    }

    async fn watch_lives(&self) {
        let mut ticks = interval(LIVES_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.lives_look().await {
                tracing::error!(error = chain(&error), "the lives of vms could not be looked at");
            }
        }
    }

    async fn watch_silence(&self) {
        // Four looks per limit: silence is stored at most a quarter too late.
        let mut ticks = interval((self.inner.silence_after / 4).max(Duration::from_millis(5)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.silence_look().await {
                tracing::error!(error = chain(&error), "silence could not be stored");
            }
        }
    }
}

/// A reconciler that panicked takes those beside it along.
fn follow(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

/// How long plans rest after so many bytes.
fn rest(bytes: usize) -> Duration {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    (Duration::from_secs(1) * bytes / BYTES_PER_SECOND).min(LONGEST_REST)
}
