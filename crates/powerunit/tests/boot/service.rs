//! The image's command as a supervised service, and its log.

use std::path::Path;
use std::time::{Duration, Instant};

use model::{ProgramEnd, RestartPolicy, ServiceSeen, ServiceState};
use wire::guest::{GuestFrame, HostFrame, LOG_KEPT, LogPart, Service};
use wire::stream::Lane;

use crate::can_boot;
use crate::image::{Image, upper_disk};
use crate::support::wait_for;
use crate::vm::Vm;

/// A machine whose image has this command.
pub(crate) fn start(folder: &Path, service: Service) -> Vm {
    let image = Image::busybox(folder);
    let upper = upper_disk(folder);
    let mut vm = Vm::prepare(folder, &image, &upper);
    vm.config.service = Some(service);
    vm.config.image.working_dir = "/srv/made".into();
    vm.greet();
    vm
}

pub(crate) fn shell(script: &str, restart: RestartPolicy) -> Service {
    Service {
        arguments: ["sh", "-c", script].map(str::to_owned).to_vec(),
        restart,
        stop_signal: "SIGUSR1".into(),
    }
}

/// What a host hears of a service.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Seen(ServiceSeen),
    Part(LogPart),
}

fn next(vm: &mut Vm) -> Heard {
    let heard = vm.wait(|frame| matches!(frame, GuestFrame::Service(_) | GuestFrame::Log(_)));
    if let GuestFrame::Service(seen) = heard {
        return Heard::Seen(seen);
    }
    let GuestFrame::Log(part) = heard else {
        panic!("{heard:?}")
    };
    Heard::Part(part)
}

/// The next change of the service's state, and the log up to there.
fn next_state(vm: &mut Vm, log: &mut Vec<LogPart>) -> ServiceSeen {
    loop {
        match next(vm) {
            Heard::Seen(seen) => return seen,
            Heard::Part(part) => log.push(part),
        }
    }
}

/// Hears the log to an offset, which must come without a gap.
fn hear_to(vm: &mut Vm, end: u64) -> Vec<LogPart> {
    let mut log = Vec::new();
    while end_of(&log) < end {
        if let Heard::Part(part) = next(vm) {
            assert!(
                log.is_empty() || part.offset == end_of(&log),
                "a gap at {}",
                part.offset
            );
            log.push(part);
        }
    }
    log
}

fn end_of(log: &[LogPart]) -> u64 {
    log.last().map_or(0, |part| part.offset + part.bytes.len() as u64)
}

fn text(log: &[LogPart], lane: Lane) -> String {
    let bytes = log
        .iter()
        .filter(|part| part.lane == lane)
        .flat_map(|part| part.bytes.clone());
    String::from_utf8(bytes.collect()).unwrap()
}

fn seen(state: ServiceState, exit: Option<i32>, restarts: u32) -> ServiceSeen {
    ServiceSeen {
        state,
        exit: exit.map(ProgramEnd::Exited),
        restarts,
        message: None,
    }
}

/// Ends with 7 until somebody lets it stay; then it stays until its stop signal.
const STUBBORN: &str = "id -un; id -Gn; pwd; echo $FROM_IMAGE $HOME; cat /proc/self/cgroup; grep SigBlk /proc/self/status; \
    ulimit -n; echo sorry >&2; test -e /tmp/stay || exit 7; \
    setsid sleep 1000 & other=$!; \
    trap 'wait $child; echo stopping; grep -q \"(sleeping)\" /proc/$other/status && echo not alone; exit 0' USR1; \
    (trap 'echo all of the group; exit' USR1; echo staying; sleep 1000 & wait) & child=$!; wait; wait";

#[test]
fn a_service_runs_as_the_image_says_and_is_started_again() {
    if !can_boot() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut vm = start(folder.path(), shell(STUBBORN, RestartPolicy::OnFailure));
    let mut log = Vec::new();
    assert_eq!(
        next_state(&mut vm, &mut log),
        seen(ServiceState::Running, None, 0)
    );
    for restarts in 0..3 {
        let expected = seen(ServiceState::BackingOff, Some(7), restarts);
        assert_eq!(next_state(&mut vm, &mut log), expected);
        let ended = Instant::now();
        if restarts == 2 {
            vm.client().text_as("root", "touch /tmp/stay");
        }
        let expected = seen(ServiceState::Running, Some(7), restarts + 1);
        assert_eq!(next_state(&mut vm, &mut log), expected);
        // What the frames took on their way may be short by a little, never by half a pause.
        assert!(
            ended.elapsed() > Duration::from_secs(1 << restarts) / 2,
            "{:?}",
            ended.elapsed()
        );
    }
    let once = "ann\nann staff\n/srv/made\nyes /home/ann\n0::/service\nSigBlk:\t0000000000000000\n1024\n";
    let sorry = "sorry\n".repeat(4);
    while !(text(&log, Lane::Stdout).ends_with("staying\n") && text(&log, Lane::Stderr) == sorry) {
        let end = end_of(&log);
        log.extend(hear_to(&mut vm, end + 1));
    }
    assert!(
        text(&log, Lane::Stdout).starts_with(once),
        "{}",
        text(&log, Lane::Stdout)
    );
    assert_eq!(vm.client().run("exit 37").status.code(), Some(37));
    a_new_host_hears_the_rest_again(&mut vm, &log);

    // The stop signal comes first, before anything else is ended, and the last words are heard.
    let end = end_of(&log);
    vm.send(&HostFrame::Stop {
        grace: Duration::from_secs(20),
    });
    let last = seen(ServiceState::Ended, Some(0), 3);
    let mut words = Vec::new();
    assert_eq!(next_state(&mut vm, &mut words), last);
    assert_eq!(
        text(&words, Lane::Stdout),
        "all of the group\nstopping\nnot alone\n"
    );
    assert_eq!(words[0].offset, end);
    vm.wait_off();
}

/// A host that comes back and holds half of the log.
fn a_new_host_hears_the_rest_again(vm: &mut Vm, log: &[LogPart]) {
    let all = end_of(log);
    vm.leave();
    vm.come_back();
    let hello = vm.wait(|frame| matches!(frame, GuestFrame::Hello(_)));
    let GuestFrame::Hello(hello) = hello else {
        panic!("{hello:?}")
    };
    let again = hear_to(vm, all);
    assert_eq!(again, log, "all that nobody holds is said again");
    let held = all / 2 + 1;
    for (boot_id, offset) in [("another boot", all), (hello.boot_id.as_str(), held)] {
        let boot_id = boot_id.to_owned();
        vm.send(&HostFrame::LogHeld { boot_id, offset });
    }
    vm.leave();
    vm.come_back();
    let rest = hear_to(vm, all);
    assert_eq!(rest[0].offset, held);
}

/// Prints three times what is kept while no host is there.
const LOUD: &str = "echo begun; while ! test -e /tmp/loud; do sleep 0.1; done; \
    yes 0123456789abcde 2> /dev/null | head -c 3145728; touch /tmp/said; while test -e /tmp/loud; do sleep 0.1; done; exit 7";

#[test]
fn a_host_that_was_away_misses_the_oldest_and_sees_it() {
    if !can_boot() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut vm = start(folder.path(), shell(LOUD, RestartPolicy::No));
    let log = hear_to(&mut vm, 6);
    assert_eq!(text(&log, Lane::Stdout), "begun\n");
    vm.leave();
    vm.client()
        .text_as("root", "chmod 777 /tmp; touch /tmp/loud; chmod 666 /tmp/loud");
    wait_for(
        "the service, which nobody may hold up",
        Duration::from_secs(60),
        || {
            vm.client()
                .run("test -e /tmp/said")
                .status
                .success()
                .then_some(())
        },
    );
    vm.come_back();
    let whole = 6 + 3_145_728;
    let log = hear_to(&mut vm, whole);
    assert_eq!(end_of(&log), whole);
    assert_eq!(
        whole - log[0].offset,
        LOG_KEPT as u64,
        "the last MiB, and a gap before it"
    );
    let kept = text(&log, Lane::Stdout);
    assert!(kept.ends_with("0123456789abcde\n0123456789abcde\n"));

    // It ends, and with it nothing else.
    vm.client().text_as("root", "rm /tmp/loud");
    let ended =
        vm.wait(|frame| matches!(frame, GuestFrame::Service(seen) if seen.state != ServiceState::Running));
    assert_eq!(ended, GuestFrame::Service(seen(ServiceState::Ended, Some(7), 0)));
    assert_eq!(vm.client().run("exit 37").status.code(), Some(37));
    let mut config = vm.config.clone();
    config.revision = 2;
    config.service = Some(shell("echo another", RestartPolicy::Always));
    vm.send(&HostFrame::Config(Box::new(config)));
    vm.wait(|frame| matches!(frame, GuestFrame::ConfigApplied { revision: 2 }));
    vm.reconnect();
    let still = vm.wait(|frame| matches!(frame, GuestFrame::Service(_)));
    assert_eq!(still, GuestFrame::Service(seen(ServiceState::Ended, Some(7), 0)));
    vm.stop(Duration::from_secs(5));
}
