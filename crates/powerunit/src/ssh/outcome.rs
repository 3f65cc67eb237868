//! Signals and exit statuses between Linux and SSH (RFC 4254 sections 6.9 and 6.10).

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::sys::signal::Signal;
use russh::Sig;

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Exited(u32),
    /// By a signal, as Linux numbers it.
    Killed {
        signal: i32,
        core_dumped: bool,
    },
}

/// Programs that could not be started, as shells report them.
pub(super) const NOT_FOUND: u32 = 127;

impl From<ExitStatus> for Outcome {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(u32::try_from(code).unwrap_or(255)),
            (None, Some(signal)) => Self::Killed {
                signal,
                core_dumped: status.core_dumped(),
            },
            (None, None) => Self::Exited(255),
        }
    }
}

/// The signal that a client names. Those beyond the RFC go by their Linux names.
pub(super) fn signal(name: &Sig) -> Option<Signal> {
    Some(match name {
        Sig::ABRT => Signal::SIGABRT,
        Sig::ALRM => Signal::SIGALRM,
        Sig::FPE => Signal::SIGFPE,
        Sig::HUP => Signal::SIGHUP,
        Sig::ILL => Signal::SIGILL,
        Sig::INT => Signal::SIGINT,
        Sig::KILL => Signal::SIGKILL,
        Sig::PIPE => Signal::SIGPIPE,
        Sig::QUIT => Signal::SIGQUIT,
        Sig::SEGV => Signal::SIGSEGV,
        Sig::TERM => Signal::SIGTERM,
        Sig::USR1 => Signal::SIGUSR1,
        Sig::Custom(name) => format!("SIG{name}").parse().ok()?,
    })
}

/// The name of a Linux signal on the wire.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the RFC names twelve; every other goes by its Linux name"
)]
pub(super) fn name(number: i32) -> Sig {
    let Ok(signal) = Signal::try_from(number) else {
        return Sig::Custom(number.to_string());
    };
    match signal {
        Signal::SIGABRT => Sig::ABRT,
        Signal::SIGALRM => Sig::ALRM,
        Signal::SIGFPE => Sig::FPE,
        Signal::SIGHUP => Sig::HUP,
        Signal::SIGILL => Sig::ILL,
        Signal::SIGINT => Sig::INT,
        Signal::SIGKILL => Sig::KILL,
        Signal::SIGPIPE => Sig::PIPE,
        Signal::SIGQUIT => Sig::QUIT,
        Signal::SIGSEGV => Sig::SEGV,
        Signal::SIGTERM => Sig::TERM,
        Signal::SIGUSR1 => Sig::USR1,
        other => Sig::Custom(other.as_str().trim_start_matches("SIG").to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_same_name_both_ways() {
        for number in [1, 2, 6, 9, 15, 10, 12, 28] {
            assert_eq!(signal(&name(number)).map(|signal| signal as i32), Some(number));
        }
        assert_eq!(signal(&Sig::Custom("NONSENSE".into())), None);
    }

    #[test]
    fn a_status_is_a_number_or_a_signal() {
        assert_eq!(Outcome::from(ExitStatus::from_raw(37 << 8)), Outcome::Exited(37));
        let killed = Outcome::Killed {
            signal: 15,
            core_dumped: false,
        };
        assert_eq!(Outcome::from(ExitStatus::from_raw(15)), killed);
    }
}
