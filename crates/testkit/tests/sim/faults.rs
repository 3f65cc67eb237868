//! Failures at every step, one after another, and hangs.
//!
//! Each test walks through the requests that a host makes of its network, or the steps of its driver: the first one
//! fails, then the second, until the whole way is longer than the failure is far.

use model::Status;
use testkit::{Cloud, SimHost, Step};

use crate::support::{ask, create, expect, expect_error, gone, remove, start, stop, traces, until_true};

/// Further than any way is long; it means that no request fails.
const NEVER: usize = 1 << 40;

/// Where the failure is.
#[derive(Clone, Copy, Debug)]
enum In {
    Hands,
    Driver,
}

impl In {
    fn fail_at(self, host: &SimHost, n: usize) {
        match self {
            Self::Hands => host.hands.fail_at(n),
            Self::Driver => host.sim.fail_after(n),
        }
    }

    fn taken(self, host: &SimHost) -> usize {
        match self {
            Self::Hands => host.hands.performed(),
            Self::Driver => host.sim.steps_taken(),
        }
    }

    fn relieve(self, host: &SimHost) {
        match self {
            Self::Hands => host.hands.fail_at(NEVER),
            Self::Driver => host.sim.release(),
        }
    }
}

/// Does `act` again and again, each time with a failure one request later, until no failure was met. Gives how many
/// failures there were.
async fn at_every_step(place: In, host: &SimHost, mut act: impl AsyncFnMut(usize)) -> usize {
    for n in 0..64 {
        let before = place.taken(host);
        place.fail_at(host, n);
        act(n).await;
        let met = place.taken(host) > before + n;
        place.relieve(host);
        if !met {
            return n;
        }
    }
    NEVER
}

#[tokio::test]
async fn a_creation_that_failed_anywhere_succeeds_by_itself() {
    for place in [In::Hands, In::Driver] {
        let cloud = Cloud::start(1).await.unwrap();
        let host = &cloud.hosts[0];
        let clean = traces(host);
        let failures = at_every_step(place, host, async |n| {
            let name = format!("vm-{n}");
            create(&cloud, &name).await;
            place.relieve(host);
            remove(&cloud, &name).await;
            assert_eq!(traces(host), clean, "failed at {n} in {place:?}");
        })
        .await;
        assert!((2..24).contains(&failures), "{failures} failures in {place:?}");
    }
}

#[tokio::test]
async fn a_creation_that_failed_anywhere_leaves_nothing_when_it_is_given_up() {
    for place in [In::Hands, In::Driver] {
        let cloud = Cloud::start(1).await.unwrap();
        let host = &cloud.hosts[0];
        let clean = traces(host);
        let failures = at_every_step(place, host, async |n| {
            let name = format!("vm-{n}");
            let before = place.taken(host);
            let vm = ask(&cloud, &name).await;
            until_true("it failed or runs", || {
                place.taken(host) > before + n || host.sim.runs(vm.id)
            })
            .await;
            remove(&cloud, &name).await;
            assert_eq!(traces(host), clean, "failed at {n} in {place:?}");
        })
        .await;
        assert!((2..24).contains(&failures), "{failures} failures in {place:?}");
    }
}

#[tokio::test]
async fn a_removal_that_failed_anywhere_succeeds_by_itself() {
    for place in [In::Hands, In::Driver] {
        let cloud = Cloud::start(1).await.unwrap();
        let host = &cloud.hosts[0];
        let clean = traces(host);
        create(&cloud, "vm-0").await;
        let failures = at_every_step(place, host, async |n| {
            remove(&cloud, &format!("vm-{n}")).await;
            assert_eq!(traces(host), clean, "failed at {n} in {place:?}");
            place.relieve(host);
            create(&cloud, &format!("vm-{}", n + 1)).await;
        })
        .await;
        assert!((2..24).contains(&failures), "{failures} failures in {place:?}");
    }
}

#[tokio::test]
async fn a_stop_and_a_start_that_failed_anywhere_succeed_by_themselves() {
    for place in [In::Hands, In::Driver] {
        let cloud = Cloud::start(1).await.unwrap();
        let host = &cloud.hosts[0];
        create(&cloud, "web").await;
        let running = traces(host);
        let failures = at_every_step(place, host, async |n| {
            stop(&cloud, "web").await;
            expect(&cloud, "web", Status::Stopped).await;
            assert_eq!(
                host.sim.leftovers(),
                Vec::<String>::new(),
                "failed at {n} in {place:?}"
            );
            start(&cloud, "web").await;
            expect(&cloud, "web", Status::Running).await;
            assert_eq!(traces(host), running, "failed at {n} in {place:?}");
        })
        .await;
        assert!((4..24).contains(&failures), "{failures} failures in {place:?}");
    }
}

#[tokio::test]
async fn a_failure_that_lasts_is_shown_and_passes() {
    let cloud = Cloud::start(1).await.unwrap();
    let sim = &cloud.hosts[0].sim;
    sim.fail_at(Step::Ensure);
    ask(&cloud, "web").await;
    let reason = expect_error(&cloud, "web", "host_failed").await.reason.unwrap();
    assert!(reason.retried && !reason.hint.is_empty(), "{reason:?}");
    sim.release();
    let vm = expect(&cloud, "web", Status::Running).await;
    assert!(vm.reason.is_none());
    assert_eq!(sim.starts(), 1);
}

#[tokio::test]
async fn a_vm_is_removed_while_it_boots_although_its_guest_says_nothing() {
    let cloud = Cloud::start(1).await.unwrap();
    let host = &cloud.hosts[0];
    let clean = traces(host);
    host.sim.hang_at(Step::Control);
    ask(&cloud, "web").await;
    expect(&cloud, "web", Status::Booting).await;
    until_true("its machine runs", || host.sim.starts() == 1).await;
    remove(&cloud, "web").await;
    assert_eq!(traces(host), clean);
}

#[tokio::test]
async fn a_vm_is_stopped_while_it_boots_although_its_guest_says_nothing() {
    let cloud = Cloud::start(1).await.unwrap();
    let sim = &cloud.hosts[0].sim;
    sim.hang_at(Step::Control);
    ask(&cloud, "web").await;
    expect(&cloud, "web", Status::Booting).await;
    stop(&cloud, "web").await;
    expect(&cloud, "web", Status::Stopped).await;
    assert_eq!(sim.leftovers(), Vec::<String>::new());
    sim.release();
    start(&cloud, "web").await;
    expect(&cloud, "web", Status::Running).await;
}

#[tokio::test]
async fn a_removal_goes_through_once_a_hanging_driver_answers() {
    for step in [Step::Ensure, Step::Stop, Step::Destroy] {
        let cloud = Cloud::start(1).await.unwrap();
        let host = &cloud.hosts[0];
        let clean = traces(host);
        let client = cloud.client().unwrap();
        if step == Step::Ensure {
            host.sim.hang_at(step);
            let before = host.sim.steps_taken();
            ask(&cloud, "web").await;
            until_true("it hangs", || host.sim.steps_taken() > before).await;
        } else {
            create(&cloud, "web").await;
            host.sim.hang_at(step);
        }
        let before = host.sim.steps_taken();
        client.vm_delete("web").await.unwrap();
        expect(&cloud, "web", Status::Deleting).await;
        if step != Step::Ensure {
            until_true("it hangs", || host.sim.steps_taken() > before).await;
        }
        // Nobody else waits for it.
        host.sim.release();
        gone(&cloud, "web").await;
        assert_eq!(traces(host), clean, "hung at {step:?}");
    }
}

#[tokio::test]
async fn one_vm_that_hangs_holds_up_no_other() {
    let cloud = Cloud::start(1).await.unwrap();
    let host = &cloud.hosts[0];
    create(&cloud, "good").await;
    host.sim.hang_at(Step::Ensure);
    let before = host.sim.steps_taken();
    ask(&cloud, "bad").await;
    until_true("it hangs", || host.sim.steps_taken() > before).await;
    stop(&cloud, "good").await;
    expect(&cloud, "good", Status::Stopped).await;
    remove(&cloud, "good").await;
    host.sim.release();
    expect(&cloud, "bad", Status::Running).await;
}
