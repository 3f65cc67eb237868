//! How a guest ended, and what that means for its boot. The meaning is a pure function.
//!
//! ```text
//!   it said over its channel      the VMM tells       was up
//!   PoweredOff(off)                                              the boot is over, and stays so
//!   PoweredOff(reboot)                                           the same boot goes on: start again
//!   nothing                       powered off                    the boot is over, and stays so
//!   nothing                       reset               yes        as a reboot
//!   nothing                       reset               no         failed: it would reset for ever
//!   nothing                       nothing                        failed: the VMM died
//! ```

use driver::{Exit, GuestWish};
use model::VmName;
use wire::guest::PowerOffKind;

use super::{VmTask, failure};
use crate::memory::BootOutcome;

/// How a guest ended.
#[derive(Debug)]
pub(crate) struct GuestEnd {
    /// What its VMM tells.
    pub(crate) exit: Exit,
    /// Its last word.
    said: Option<PowerOffKind>,
    /// Whether it accepted SSH before, as far as anybody knows.
    was_up: bool,
}

impl GuestEnd {
    /// One that nobody was there to see. It may have been up.
    pub(crate) const fn unseen(exit: Exit) -> Self {
        Self {
            exit,
            said: None,
            was_up: true,
        }
    }

    /// What became of its boot.
    pub(crate) fn outcome(&self, name: &VmName) -> BootOutcome {
        match (self.said, self.exit.wish) {
            (Some(PowerOffKind::Off), _) | (None, Some(GuestWish::Off)) => BootOutcome::PoweredOff,
            (Some(PowerOffKind::Reboot), _) => BootOutcome::Begun,
            (None, Some(GuestWish::Reset)) if self.was_up => BootOutcome::Begun,
            (None, Some(GuestWish::Reset) | None) => BootOutcome::Failed(failure::vmm_died(name, &self.exit)),
        }
    }
}

impl VmTask {
    /// What is known of the end of the running guest, now that its VMM has gone.
    pub(super) async fn end_of(&mut self, exit: Exit) -> GuestEnd {
        let said = match &self.guest {
            Some(guest) => guest.last_word().await,
            None => None,
        };
        GuestEnd {
            exit,
            said,
            was_up: self.adopted || self.actual.ready.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::ReasonCode;

    use super::*;

    #[test]
    fn a_reset_is_a_reboot_only_of_a_guest_that_was_up() {
        use GuestWish::{Off, Reset};
        use PowerOffKind::Reboot;
        let outcome = |said, wish, was_up| {
            let exit = Exit {
                wish,
                ..Exit::default()
            };
            GuestEnd { exit, said, was_up }.outcome(&"web".parse().unwrap())
        };
        for (said, wish, was_up, expected) in [
            (
                Some(PowerOffKind::Off),
                Some(Reset),
                true,
                BootOutcome::PoweredOff,
            ),
            (Some(PowerOffKind::Off), None, false, BootOutcome::PoweredOff),
            (Some(Reboot), Some(Reset), false, BootOutcome::Begun),
            (Some(Reboot), None, true, BootOutcome::Begun),
            (None, Some(Off), false, BootOutcome::PoweredOff),
            (None, Some(Reset), true, BootOutcome::Begun),
        ] {
            assert_eq!(
                outcome(said, wish, was_up),
                expected,
                "{said:?} {wish:?} {was_up}"
            );
        }
        for (wish, was_up) in [(Some(Reset), false), (None, true), (None, false)] {
            let BootOutcome::Failed(reason) = outcome(None, wish, was_up) else {
                panic!("{wish:?} {was_up} is no failure");
            };
            assert_eq!(reason.code, ReasonCode::VmmDied);
        }
    }
}
