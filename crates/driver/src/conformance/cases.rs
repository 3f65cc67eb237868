//! The cases, each a promise of [`crate::Driver`].

use std::future::Future;
use std::time::Duration;

use model::VmId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Broken, Fixture, Guest};
use crate::{Consoles, Disk, Driver, DriverError, Exit, MachineSpec, Observation, SpecFault};

/// An end has to be seen within this; it is part of what users are promised.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

/// Verbs on a loaded machine.
const LIMIT: Duration = Duration::from_secs(60);

/// For a guest that never listens.
const WAITED_FOR: Duration = Duration::from_millis(500);

const GRACE: Duration = Duration::from_secs(5);

/// A case's name, to tell where a promise was broken.
#[derive(Clone, Copy)]
struct Case(&'static str);

impl Case {
    async fn done<T>(self, verb: impl Future<Output = Result<T, DriverError>>) -> Result<T, Broken> {
        self.within(LIMIT, verb)
            .await?
            .map_err(|source| Broken::Failed { case: self.0, source })
    }

    async fn within<T>(self, limit: Duration, future: impl Future<Output = T>) -> Result<T, Broken> {
        tokio::time::timeout(limit, future)
            .await
            .map_err(|_| Broken::TooSlow { case: self.0, limit })
    }

    fn holds(self, condition: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
        if condition {
            Ok(())
        } else {
            Err(Broken::Promise {
                case: self.0,
                what: what(),
            })
        }
    }

    async fn runs(self, driver: &dyn Driver, id: VmId) -> Result<Option<u32>, Broken> {
        match self.done(driver.observe(id)).await? {
            Observation::Running { pid } => Ok(pid),
            found @ (Observation::Absent | Observation::Ended(_)) => Err(Broken::Promise {
                case: self.0,
                what: format!("should run, and is {found:?}"),
            }),
        }
    }

    async fn has_ended(self, driver: &dyn Driver, id: VmId) -> Result<Exit, Broken> {
        match self.done(driver.observe(id)).await? {
            Observation::Ended(exit) => Ok(exit),
            found @ (Observation::Absent | Observation::Running { .. }) => Err(Broken::Promise {
                case: self.0,
                what: format!("should have ended, and is {found:?}"),
            }),
        }
    }

    async fn is_absent(self, driver: &dyn Driver, id: VmId) -> Result<(), Broken> {
        let found = self.done(driver.observe(id)).await?;
        self.holds(found == Observation::Absent, || {
            format!("should be absent, and is {found:?}")
        })
    }

    async fn destroys(self, driver: &dyn Driver, fixture: &dyn Fixture, id: VmId) -> Result<(), Broken> {
        self.done(driver.destroy(id)).await?;
        self.is_absent(driver, id).await?;
        let running = fixture.running(id);
        self.holds(running == 0, || format!("{running} VMMs run after destroy"))
    }
}

pub(super) async fn an_unknown_machine_is_absent(fixture: &dyn Fixture) -> Result<(), Broken> {
    let case = Case("an unknown machine is absent");
    let (driver, id) = (fixture.driver(), fixture.spec(Guest::Idles).id);
    case.is_absent(&*driver, id).await?;
    case.within(SEEN_WITHIN, driver.wait_ended(id)).await?;
    let refused = case.within(LIMIT, driver.control(id)).await?;
    case.holds(matches!(refused, Err(DriverError::NotRunning(_))), || {
        "its control channel was opened".to_owned()
    })?;
    case.holds(driver.console_tail(id).await.is_empty(), || {
        "it has a console".to_owned()
    })?;
    case.done(driver.stop(id, GRACE)).await?;
    case.destroys(&*driver, fixture, id).await
}

pub(super) async fn ensure_twice_starts_once(fixture: &dyn Fixture) -> Result<(), Broken> {
    let case = Case("ensure twice starts once");
    let (driver, spec) = (fixture.driver(), fixture.spec(Guest::Idles));
    case.done(driver.ensure(&spec)).await?;
    let first = case.runs(&*driver, spec.id).await?;
    case.done(driver.ensure(&spec)).await?;
    let second = case.runs(&*driver, spec.id).await?;
    case.holds(first == second, || {
        format!("was process {first:?}, is {second:?}")
    })?;
    case.holds(fixture.running(spec.id) == 1, || {
        format!("{} VMMs run", fixture.running(spec.id))
    })?;
    case.destroys(&*driver, fixture, spec.id).await
}

pub(super) async fn ensure_at_once_starts_once(fixture: &dyn Fixture) -> Result<(), Broken> {
    let case = Case("ensure by two callers starts once");
    let (driver, spec) = (fixture.driver(), fixture.spec(Guest::Idles));
    let (first, second) = tokio::join!(driver.ensure(&spec), driver.ensure(&spec));
    case.done(std::future::ready(first.and(second))).await?;
    case.holds(fixture.running(spec.id) == 1, || {
        format!("{} VMMs run", fixture.running(spec.id))
    })?;
    case.destroys(&*driver, fixture, spec.id).await
}

pub(super) async fn stop_and_destroy_may_be_repeated(fixture: &dyn Fixture) -> Result<(), Broken> {
    let case = Case("stop and destroy may be repeated");
    let (driver, spec) = (fixture.driver(), fixture.spec(Guest::Idles));
    case.done(driver.ensure(&spec)).await?;
    for _ in 0..2 {
        case.done(driver.stop(spec.id, GRACE)).await?;
        let exit = case.has_ended(&*driver, spec.id).await?;
        // A VMM that nobody can ask is killed.
        let ended = exit.status == Some(0) || exit.signal == Some(9);
        case.holds(ended && exit.wish.is_none(), || {
            format!("a stop looks like this: {exit:?}")
        })?;
    }
    for _ in 0..2 {
        case.destroys(&*driver, fixture, spec.id).await?;
    }
    Ok(())
}

pub(super) async fn a_stopped_machine_starts_again(fixture: &dyn Fixture) -> Result<(), Broken> {
    let case = Case("a stopped machine starts again");
    let (driver, spec) = (fixture.driver(), fixture.spec(Guest::Idles));
    for _ in 0..2 {
        case.done(driver.ensure(&spec)).await?;
        case.runs(&*driver, spec.id).await?;
        case.done(driver.stop(spec.id, Duration::ZERO)).await?;
        case.has_ended(&*driver, spec.id).await?;
    }
    case.destroys(&*driver, fixture, spec.id).await
}

pub(super) async fn a_killed_vmm_is_seen(fixture: &dyn Fixture) -> Result<(), Broken> {
    let case = Case("a killed VMM is seen");
    let (driver, spec) = (fixture.driver(), fixture.spec(Guest::Idles));
    case.done(driver.ensure(&spec)).await?;
    let kill = async {
        fixture.kill(spec.id).await;
    };
    let (exit, ()) = tokio::join!(case.within(SEEN_WITHIN, driver.wait_ended(spec.id)), kill);
    let exit = exit?;
    case.holds(exit.signal == Some(9) && exit.wish.is_none(), || {
        format!("it looks like this: {exit:?}")
    })?;
    let observed = case.has_ended(&*driver, spec.id).await?;
    case.holds(observed == exit, || {
        format!("observed as {observed:?}, waited for {exit:?}")
    })?;
    case.destroys(&*driver, fixture, spec.id).await
}

pub(super) async fn a_power_off_is_told_from_a_death(fixture: &dyn Fixture) -> Result<(), Broken> {
    let case = Case("a power-off is told from a death");
    let (driver, spec) = (fixture.driver(), fixture.spec(Guest::PowersOff));
    case.done(driver.ensure(&spec)).await?;
    fixture.started(spec.id, Guest::PowersOff).await;
    let exit = case.within(LIMIT, driver.wait_ended(spec.id)).await?;
    case.holds(exit.wish.is_some(), || format!("it looks like this: {exit:?}"))?;
    case.holds(exit.console_tail.contains("hello"), || {
        format!("its console says {:?}", exit.console_tail)
    })?;
    let later = case.has_ended(&*fixture.driver(), spec.id).await?;
    case.holds(later == exit, || {
        format!("a fresh adapter says {later:?}, not {exit:?}")
    })?;
    case.destroys(&*driver, fixture, spec.id).await
}

pub(super) async fn a_fresh_adapter_finds_what_runs(fixture: &dyn Fixture) -> Result<(), Broken> {
    let case = Case("a fresh adapter finds what runs");
    let (before, spec) = (fixture.driver(), fixture.spec(Guest::Idles));
    case.done(before.ensure(&spec)).await?;
    let pid = case.runs(&*before, spec.id).await?;
    drop(before);
    let driver = fixture.driver();
    let found = case.done(driver.recover()).await?;
    let found: Vec<_> = found.into_iter().filter(|found| found.id == spec.id).collect();
    let as_expected = matches!(&*found, [one] if one.observation == Observation::Running { pid });
    case.holds(as_expected, || format!("process {pid:?} was found as {found:?}"))?;
    case.done(driver.ensure(&spec)).await?;
    case.holds(case.runs(&*driver, spec.id).await? == pid, || {
        "ensure started another".to_owned()
    })?;
    let kill = fixture.kill(spec.id);
    let (exit, ()) = tokio::join!(case.within(SEEN_WITHIN, driver.wait_ended(spec.id)), kill);
    let exit = exit?;
    case.holds(exit.wish.is_none(), || {
        format!("its death looks like this: {exit:?}")
    })?;
    case.destroys(&*driver, fixture, spec.id).await
}

pub(super) async fn a_fresh_adapter_finds_what_ended(fixture: &dyn Fixture) -> Result<(), Broken> {
    let case = Case("a fresh adapter finds what ended while nobody looked");
    let (before, spec) = (fixture.driver(), fixture.spec(Guest::Idles));
    case.done(before.ensure(&spec)).await?;
    drop(before);
    fixture.kill(spec.id).await;
    let driver = fixture.driver();
    case.within(SEEN_WITHIN, driver.wait_ended(spec.id)).await?;
    let found = case.done(driver.recover()).await?;
    let ended = found
        .iter()
        .any(|found| found.id == spec.id && matches!(found.observation, Observation::Ended(_)));
    case.holds(ended, || format!("found {found:?}"))?;
    case.destroys(&*driver, fixture, spec.id).await
}

pub(super) async fn the_control_channel_comes_back(fixture: &dyn Fixture) -> Result<(), Broken> {
    let case = Case("the control channel can be opened again");
    let (driver, spec) = (fixture.driver(), fixture.spec(Guest::Idles));
    case.done(driver.ensure(&spec)).await?;
    for _ in 0..3 {
        // Where nothing is kept for a guest that does not listen, the call waits for it, and may be given up.
        let Ok(opened) = tokio::time::timeout(WAITED_FOR, driver.control(spec.id)).await else {
            continue;
        };
        let mut channel = case.done(std::future::ready(opened)).await?;
        let written = case.within(LIMIT, channel.write_all(b"anybody there?")).await?;
        case.holds(written.is_ok(), || format!("cannot be written: {written:?}"))?;
    }
    case.destroys(&*driver, fixture, spec.id).await
}

pub(super) async fn a_channel_that_waits_ends_with_its_machine(fixture: &dyn Fixture) -> Result<(), Broken> {
    let case = Case("a channel that waits ends with its machine");
    let (driver, spec) = (fixture.driver(), fixture.spec(Guest::Idles));
    case.done(driver.ensure(&spec)).await?;
    let kill = fixture.kill(spec.id);
    let (opened, ()) = tokio::join!(case.within(LIMIT, driver.control(spec.id)), kill);
    let opened = opened?;
    let as_said = matches!(
        opened,
        Ok(_) | Err(DriverError::NotRunning(_) | DriverError::Control { .. })
    );
    case.holds(as_said, || format!("it ended as {:?}", opened.err()))?;
    case.destroys(&*driver, fixture, spec.id).await
}

/// A machine that has a console, if the driver gives any.
fn with_console(fixture: &dyn Fixture) -> Option<MachineSpec> {
    let has = fixture.driver().capabilities().abilities.console != Consoles::None;
    let spec = fixture.spec(Guest::Idles);
    has.then_some(MachineSpec {
        console: true,
        ..spec
    })
}

pub(super) async fn a_console_has_one_seat(fixture: &dyn Fixture) -> Result<(), Broken> {
    let case = Case("a console shows what was printed, and has one seat");
    let Some(spec) = with_console(fixture) else {
        return Ok(());
    };
    let driver = fixture.driver();
    case.done(driver.ensure(&spec)).await?;
    let mut first = case.done(driver.console(spec.id)).await?;
    let mut shown = Vec::new();
    while !String::from_utf8_lossy(&shown).contains("idle") {
        let count = case.within(LIMIT, first.read_buf(&mut shown)).await?;
        case.holds(matches!(count, Ok(1..)), || {
            format!("it ended after {shown:?}: {count:?}")
        })?;
    }
    let mut second = case.done(driver.console(spec.id)).await?;
    let end = case.within(LIMIT, first.read_to_end(&mut shown)).await?;
    case.holds(end.is_ok(), || format!("the first seat was not taken: {end:?}"))?;
    let typed = case.within(LIMIT, second.write_all(b"typed")).await?;
    case.holds(typed.is_ok(), || format!("cannot be typed on: {typed:?}"))?;
    case.destroys(&*driver, fixture, spec.id).await?;
    let end = case.within(LIMIT, second.read_to_end(&mut shown)).await?;
    case.holds(end.is_ok(), || {
        format!("it did not end with its machine: {end:?}")
    })
}

pub(super) async fn no_console_where_there_is_none(fixture: &dyn Fixture) -> Result<(), Broken> {
    let case = Case("no console where there is none");
    let driver = fixture.driver();
    let spec = MachineSpec {
        console: false,
        ..fixture.spec(Guest::Idles)
    };
    let absent = case.within(LIMIT, driver.console(spec.id)).await?;
    case.holds(absent.is_err(), || {
        "a machine that is not there has one".to_owned()
    })?;
    case.done(driver.ensure(&spec)).await?;
    let opened = case.within(LIMIT, driver.console(spec.id)).await?;
    let as_said = match driver.capabilities().abilities.console {
        Consoles::None | Consoles::OnRequest => matches!(opened, Err(DriverError::NoConsole(_))),
        Consoles::Always => opened.is_ok(),
    };
    case.holds(as_said, || {
        format!("a machine made without one: {:?}", opened.err())
    })?;
    case.destroys(&*driver, fixture, spec.id).await
}

pub(super) async fn a_vmm_runs_as_its_owner(fixture: &dyn Fixture) -> Result<(), Broken> {
    let case = Case("a VMM runs as its owner");
    let (driver, spec) = (fixture.driver(), fixture.spec(Guest::Idles));
    case.done(driver.ensure(&spec)).await?;
    let user = fixture.runs_as(spec.id);
    let is_owners = spec.owner == 0 || user.is_none_or(|user| user == spec.owner);
    case.holds(is_owners, || {
        format!("it runs as {user:?}, not as {}", spec.owner)
    })?;
    case.destroys(&*driver, fixture, spec.id).await
}

pub(super) async fn too_many_disks_are_refused(fixture: &dyn Fixture) -> Result<(), Broken> {
    let case = Case("too many disks are refused");
    let driver = fixture.driver();
    let disk = Disk {
        path: "/nowhere".into(),
        serial: "pw-layer-1".into(),
        read_only: true,
    };
    let spec = MachineSpec {
        disks: vec![disk; driver.capabilities().abilities.max_disks + 1],
        ..fixture.spec(Guest::Idles)
    };
    let refused = case.within(LIMIT, driver.ensure(&spec)).await?;
    let in_words = matches!(
        refused,
        Err(DriverError::Spec {
            source: SpecFault::TooManyDisks { .. },
            ..
        })
    );
    case.holds(in_words, || format!("it was answered {refused:?}"))?;
    case.is_absent(&*driver, spec.id).await
}

pub(super) async fn destroy_works_on_what_is_damaged(fixture: &dyn Fixture) -> Result<(), Broken> {
    let case = Case("destroy works on what is damaged");
    for fresh in [false, true] {
        let (mut driver, spec) = (fixture.driver(), fixture.spec(Guest::Idles));
        case.done(driver.ensure(&spec)).await?;
        fixture.damage(spec.id).await;
        if fresh {
            driver = fixture.driver();
        }
        case.destroys(&*driver, fixture, spec.id).await?;
    }
    Ok(())
}
