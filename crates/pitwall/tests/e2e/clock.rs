//! A guest whose clock was set wrong, and one that stood still, hear from the host what time it is.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::env::Host;

/// What is promised: so near, so soon.
const NEAR: i128 = 100_000_000;
const SOON: Duration = Duration::from_secs(30);

/// Longer than the host waits between two messages, so that one at least found nobody.
const STOPPED: Duration = Duration::from_secs(15);

/// A shell in a guest that tells its time when asked, without starting a program: an answer takes milliseconds.
struct GuestClock {
    session: Child,
    asks: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// By how much a guest is ahead of the host, in nanoseconds: between these two, since it answered between two readings
/// of the host's clock.
#[derive(Debug, Clone, Copy)]
struct Ahead {
    least: i128,
    most: i128,
}

impl GuestClock {
    fn of(host: &Host, vm: &str) -> Self {
        let line = host.pwctl_ok(&["ssh-command", vm]);
        let tells = r#"bash -c "while read -r line; do echo \$EPOCHREALTIME; done""#;
        let mut session = host
            .command("bash")
            .args(["-c", &format!("exec {} '{tells}'", line.trim())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            asks: session.stdin.take().unwrap(),
            answers: BufReader::new(session.stdout.take().unwrap()).lines(),
            session,
        }
    }

    fn ahead(&mut self) -> Ahead {
        let before = host_time();
        writeln!(self.asks, "now").unwrap();
        let answer = self.answers.next().unwrap().unwrap();
        let after = host_time();
        let (seconds, micros) = answer.split_once('.').unwrap();
        let guest = seconds.parse::<i128>().unwrap() * 1_000_000_000 + micros.parse::<i128>().unwrap() * 1000;
        Ahead {
            least: guest - after,
            most: guest - before,
        }
    }

    /// Waits until one answer proves that the guest is right; gives how long it took.
    fn right_again(&mut self, what: &str) -> Duration {
        let started = Instant::now();
        let first = self.ahead();
        let mut ahead = first;
        while !(-NEAR < ahead.least && ahead.most < NEAR) {
            let waited = started.elapsed();
            assert!(
                waited < SOON,
                "{what}: {first:?}, after {waited:.1?} still {ahead:?} ns"
            );
            std::thread::sleep(Duration::from_millis(20));
            ahead = self.ahead();
        }
        let took = started.elapsed();
        eprintln!("{what}: {first:?}, after {took:.1?} {ahead:?} ns");
        took
    }
}

impl Drop for GuestClock {
    fn drop(&mut self) {
        let _ = self.session.kill();
        let _ = self.session.wait();
    }
}

fn host_time() -> i128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i128::try_from(now.as_nanos()).unwrap()
}

#[test]
fn a_clock_that_was_set_or_stood_still_is_right_within_30_s() {
    let host = Host::up();
    host.create_debian("one");
    let mut clock = GuestClock::of(&host, "one");
    clock.right_again("at the start");
    for (hours, sign) in [(3, "+"), (-3, "")] {
        host.ssh_ok("one", &format!("date -s '{sign}{hours} hours'"));
        let moved = clock.ahead();
        let hour = 3_600_000_000_000;
        assert!(
            moved.least > hour || moved.most < -hour,
            "it was not moved by {hours} h: {moved:?}"
        );
        clock.right_again(&format!("set by {hours} h"));
    }
    let vmm = Pid::from_raw(host.vmm("one"));
    kill(vmm, Signal::SIGSTOP).unwrap();
    std::thread::sleep(STOPPED);
    kill(vmm, Signal::SIGCONT).unwrap();
    clock.right_again("stopped");
    drop(clock);
    host.pwctl_ok(&["rm", "one"]);
    host.assert_no_vm_left();
}
