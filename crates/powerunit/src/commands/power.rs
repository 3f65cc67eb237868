//! `poweroff`, `reboot`, `halt` and `shutdown`: they ask PID 1, or with `-f` the kernel itself.
//!
//! The options are those that sysvinit's and systemd's have in common. A machine that is halted without being
//! switched off would only keep its host busy, so `halt` powers off.

use std::process::ExitCode;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wire::guest::PowerOffKind;

use super::complain;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wish {
    kind: PowerOffKind,
    /// At once, without asking any process.
    force: bool,
    after: Duration,
}

/// Why nothing is done.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("there is no option {0}")]
    Option(String),
    #[error("{0:?} is no time: say now, or +MINUTES")]
    Time(String),
    #[error("nothing is planned that could be called off")]
    Cancel,
    #[error("only root may do this")]
    NotRoot(#[source] Errno),
    #[error("cannot ask PID 1")]
    Ask(#[source] Errno),
}

/// Runs the command of this name.
pub(super) fn main(name: &'static str, arguments: &[String]) -> ExitCode {
    let done = parse(name, arguments).and_then(|wish| match wish {
        Some(wish) => carry_out(wish),
        None => Ok(()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => complain(name, &refusal),
    }
}

/// Pure: what the words ask for; `None` where they only want it written down (`--wtmp-only`) or announced (`-k`).
fn parse(name: &str, arguments: &[String]) -> Result<Option<Wish>, Refusal> {
    let mut wish = Wish {
        kind: if name == "reboot" {
            PowerOffKind::Reboot
        } else {
            PowerOffKind::Off
        },
        force: false,
        after: Duration::ZERO,
    };
    let is_shutdown = name == "shutdown";
    let mut dry = false;
    let mut words = arguments.iter().filter(|word| *word != "--");
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--") {
            match long {
                "force" => wish.force = true,
                "reboot" => wish.kind = PowerOffKind::Reboot,
                "poweroff" | "halt" => wish.kind = PowerOffKind::Off,
                "wtmp-only" => dry = true,
                "no-wtmp" | "no-sync" | "no-wall" => {}
                _ => return Err(Refusal::Option(word.clone())),
            }
        } else if let Some(letters) = word.strip_prefix('-') {
            for letter in letters.chars() {
                match letter {
                    'r' if is_shutdown => wish.kind = PowerOffKind::Reboot,
                    'h' | 'P' | 'H' | 'p' => wish.kind = PowerOffKind::Off,
                    // To sysvinit's shutdown it means: no check of the disks at the next boot.
                    'f' if !is_shutdown => wish.force = true,
                    'c' if is_shutdown => return Err(Refusal::Cancel),
                    'k' if is_shutdown => dry = true,
                    'w' if !is_shutdown => dry = true,
                    't' if is_shutdown => drop(words.next()),
                    'f' | 'F' | 'a' | 'n' | 'd' | 'i' | 'q' => {}
                    _ => return Err(Refusal::Option(word.clone())),
                }
            }
        } else if is_shutdown {
            wish.after = time(word)?;
            // What follows is a message to people who are logged in.
            break;
        }
    }
    Ok((!dry).then_some(wish))
}

fn time(word: &str) -> Result<Duration, Refusal> {
    if word == "now" {
        return Ok(Duration::ZERO);
    }
    let minutes = word
        .strip_prefix('+')
        .and_then(|digits| digits.parse::<u32>().ok());
    let minutes = minutes.ok_or_else(|| Refusal::Time(word.to_owned()))?;
    Ok(Duration::from_secs(u64::from(minutes).saturating_mul(60)))
}

fn carry_out(wish: Wish) -> Result<(), Refusal> {
    if !rustix::process::geteuid().is_root() {
        return Err(Refusal::NotRoot(Errno::EPERM));
    }
    std::thread::sleep(wish.after);
    if wish.force {
        nix::unistd::sync();
        crate::init::power(wish.kind);
    }
    // The signals of busybox, which every init understands.
    let signal = match wish.kind {
        PowerOffKind::Off => Signal::SIGUSR2,
        PowerOffKind::Reboot => Signal::SIGTERM,
    };
    kill(Pid::from_raw(1), signal).map_err(Refusal::Ask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Option<Wish>, Refusal> {
        let mut words = line.split(' ').map(str::to_owned);
        let name = words.next().unwrap();
        parse(&name, &words.collect::<Vec<_>>())
    }

    #[test]
    fn the_usual_words_mean_what_they_mean_elsewhere() {
        use PowerOffKind::{Off, Reboot};
        for (line, kind, force, minutes) in [
            ("poweroff", Off, false, 0),
            ("poweroff --force", Off, true, 0),
            ("halt -p", Off, false, 0),
            ("reboot", Reboot, false, 0),
            ("reboot -f", Reboot, true, 0),
            ("reboot -nf", Reboot, true, 0),
            ("reboot -p", Off, false, 0),
            ("shutdown -h now", Off, false, 0),
            ("shutdown -r now going down", Reboot, false, 0),
            ("shutdown -fr -t 3 +5 -h is part of the message", Reboot, false, 5),
            ("shutdown -P +0", Off, false, 0),
        ] {
            let after = Duration::from_secs(60 * minutes);
            assert_eq!(parsed(line), Ok(Some(Wish { kind, force, after })), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_and_what_is_only_written_down_does_nothing() {
        assert_eq!(parsed("shutdown -k now"), Ok(None));
        assert_eq!(parsed("reboot -w"), Ok(None));
        assert_eq!(parsed("shutdown -c"), Err(Refusal::Cancel));
        assert_eq!(parsed("shutdown 23:15"), Err(Refusal::Time("23:15".into())));
        assert_eq!(parsed("poweroff --now"), Err(Refusal::Option("--now".into())));
    }
}
