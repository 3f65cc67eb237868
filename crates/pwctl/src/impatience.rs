//! When Ctrl-C is meant for pwctl and no more for the program, in a run whose VM goes with it. Pure.
//!
//! Without a terminal in the VM, Ctrl-C is a signal: the first goes to the program, the second ends the run. With one,
//! Ctrl-C is a key, and a shell or an editor is sent many. There two in a row end the run once a second has passed in
//! which the program has shown nothing but their echo.

use std::time::Duration;

use tokio::time::Instant;

/// What a program may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
const CTRL_C: u8 = 3;

/// Counts what was pressed and not answered.
#[derive(Debug, Default)]
pub(crate) struct Impatience {
    pressed: u32,
    last: Option<Instant>,
}

impl Impatience {
    /// A signal came; whether it is the second.
    pub(crate) const fn signalled(&mut self) -> bool {
        self.pressed += 1;
        self.pressed >= 2
    }

    /// Keys were pressed. Any other key than Ctrl-C speaks to the program.
    pub(crate) fn typed(&mut self, keys: &[u8], now: Instant) {
        for &key in keys {
            if key == CTRL_C {
                self.pressed += 1;
                self.last = Some(now);
            } else {
                *self = Self::default();
            }
        }
    }

    /// The program printed something.
    pub(crate) fn answered(&mut self, printed: &[u8]) {
        let is_echo = printed.iter().all(|byte| b"^C\r\n".contains(byte));
        if !is_echo {
            *self = Self::default();
        }
    }

    /// When the run ends, where nothing is answered until then.
    pub(crate) fn ends_at(&self) -> Option<Instant> {
        self.last
            .filter(|_| self.pressed >= 2)
            .map(|last| last + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_unanswered_ones_end_it() {
        let now = Instant::now();
        let after = |keys: &[&[u8]], printed: &[u8]| {
            let mut impatience = Impatience::default();
            for keys in keys {
                impatience.typed(keys, now);
                impatience.answered(printed);
            }
            impatience.ends_at()
        };
        assert_eq!(after(&[b"\x03"], b"^C"), None);
        assert_eq!(after(&[b"\x03", b"\x03"], b"^C"), Some(now + PATIENCE));
        assert_eq!(after(&[b"\x03\x03"], b""), Some(now + PATIENCE));
        assert_eq!(after(&[b"\x03", b"\x03"], b"^C\r\n$ "), None);
        assert_eq!(after(&[b"\x03", b"x", b"\x03"], b""), None);
        let mut signals = Impatience::default();
        assert_eq!([signals.signalled(), signals.signalled()], [false, true]);
    }
}
