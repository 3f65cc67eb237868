//! From what is asked and what is there to the steps between them. A pure function.
//!
//! ```text
//!   remove      EndVmm ─ DetachNetwork ─ Forget
//!   off         StopGuest ─ EndVmm ─ DetachNetwork ─ RecordOff
//!   off, anew   … ─ LeaseAddress ─ Image ─ MakeDisk ─ RecordOff
//!   on          LeaseAddress ─ HostKey ─ Image ─ MakeDisk ─ AwaitTurn ─ AttachNetwork ─ StartVmm ─ AwaitReady
//!   on, again   StopGuest ─ EndVmm ─ DetachNetwork ─ as on
//!   on, runs    AttachNetwork (its rules may have been lost) ─ AwaitReady ─ RenewConfig
//! ```
//!
//! Always holds: a boot counter is acted on once, unless the host itself went down in the middle; a guest that
//! ended stays off until a greater boot or another disk is asked; a disk is wiped only for a greater `rootfs`, and
//! nothing runs between the wipe and the note that it was done. A `rootfs` that failed for good is tried again only with
//! the next boot.

use model::Power;

use crate::memory::{BootOutcome, VmRecord};

/// What is there of a VM, beside its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Actual {
    /// A VMM runs.
    pub(crate) running: bool,
    /// Its TAP and rules were made or seen by this orchestrator.
    pub(crate) attached: bool,
    /// The configuration in force in the guest, from when it accepts SSH.
    pub(crate) ready: Option<u64>,
}

/// One step; `vm::steps` says how each is done and undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    LeaseAddress,
    HostKey,
    Image,
    MakeDisk,
    AwaitTurn,
    AttachNetwork,
    StartVmm,
    AwaitReady,
    RenewConfig,
    StopGuest,
    EndVmm,
    DetachNetwork,
    RecordOff,
    Forget,
}

/// The steps from what is to what is asked; empty where nothing is to be done.
pub(crate) fn diff(record: &VmRecord, actual: Actual) -> Vec<Step> {
    use Step::{
        AttachNetwork, AwaitReady, DetachNetwork, EndVmm, Forget, Image, LeaseAddress, MakeDisk, RecordOff,
        RenewConfig, StopGuest,
    };
    if record.remove {
        return vec![EndVmm, DetachNetwork, Forget];
    }
    let begun = record.outcome == BootOutcome::Begun;
    let again = record.body.boot > record.boot || record.wants_disk();
    match record.body.power {
        Power::Off => {
            let mut steps = match (actual.running, begun) {
                (true, _) => vec![StopGuest, EndVmm, DetachNetwork, RecordOff],
                (false, true) => vec![EndVmm, DetachNetwork, RecordOff],
                (false, false) => vec![],
            };
            // One that never had a disk gets its first with its first boot.
            if record.wants_disk() && record.rootfs > 0 {
                steps.extend([LeaseAddress, Image, MakeDisk, RecordOff]);
            }
            steps
        }
        Power::On if actual.running && again => {
            let mut steps = vec![StopGuest, EndVmm, DetachNetwork];
            steps.extend(start(record));
            steps
        }
        Power::On if actual.running => {
            let mut steps = Vec::new();
            if !actual.attached {
                steps.push(AttachNetwork);
            }
            match actual.ready {
                None => steps.push(AwaitReady),
                Some(revision) if revision < record.accepted => steps.push(RenewConfig),
                Some(_) => {}
            }
            steps
        }
        Power::On if again || begun => start(record),
        Power::On => vec![],
    }
}

fn start(record: &VmRecord) -> Vec<Step> {
    use Step::{AttachNetwork, AwaitReady, AwaitTurn, HostKey, Image, LeaseAddress, MakeDisk, StartVmm};
    let mut steps = vec![LeaseAddress, HostKey, Image];
    if record.body.rootfs > record.rootfs {
        steps.push(MakeDisk);
    }
    steps.extend([AwaitTurn, AttachNetwork, StartVmm, AwaitReady]);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{body, id};
    use Step as S;
    use model::{Reason, ReasonCode};

    fn record(power: Power, asked_boot: u64, boot: u64, outcome: BootOutcome) -> VmRecord {
        let mut record = VmRecord::new(id("a"), 1, 4, body("a"));
        record.body.power = power;
        record.body.boot = asked_boot;
        record.boot = boot;
        record.outcome = outcome;
        record.rootfs = u64::from(boot > 0);
        record
    }

    const ABSENT: Actual = Actual {
        running: false,
        attached: false,
        ready: None,
    };
    const RUNNING: Actual = Actual {
        running: true,
        attached: true,
        ready: Some(4),
    };

    #[test]
    fn a_first_start_makes_everything_and_a_later_one_keeps_the_disk() {
        let first = diff(&record(Power::On, 1, 0, BootOutcome::Off), ABSENT);
        assert_eq!(
            first,
            [
                S::LeaseAddress,
                S::HostKey,
                S::Image,
                S::MakeDisk,
                S::AwaitTurn,
                S::AttachNetwork,
                S::StartVmm,
                S::AwaitReady
            ]
        );
        assert!(!diff(&record(Power::On, 2, 1, BootOutcome::Off), ABSENT).contains(&S::MakeDisk));
    }

    #[test]
    fn an_ended_guest_stays_off_until_a_greater_boot() {
        assert_eq!(diff(&record(Power::On, 7, 7, BootOutcome::Off), ABSENT), []);
        let failed = BootOutcome::Failed(Reason::lasting(ReasonCode::VmmDied, "", ""));
        assert_eq!(diff(&record(Power::On, 7, 7, failed.clone()), ABSENT), []);
        assert!(diff(&record(Power::On, 8, 7, failed), ABSENT).contains(&S::StartVmm));
    }

    #[test]
    fn another_disk_is_made_between_an_end_and_what_is_asked() {
        let rebuilt = |power, outcome| {
            let mut record = record(power, 1, 1, outcome);
            record.body.rootfs = 2;
            record
        };
        let anew = [
            S::StopGuest,
            S::EndVmm,
            S::DetachNetwork,
            S::LeaseAddress,
            S::HostKey,
            S::Image,
            S::MakeDisk,
            S::AwaitTurn,
            S::AttachNetwork,
            S::StartVmm,
            S::AwaitReady,
        ];
        assert_eq!(diff(&rebuilt(Power::On, BootOutcome::Begun), RUNNING), anew);
        for outcome in [BootOutcome::Begun, BootOutcome::Off, BootOutcome::PoweredOff] {
            assert_eq!(diff(&rebuilt(Power::On, outcome), ABSENT), anew[3..]);
        }
        let off = [S::LeaseAddress, S::Image, S::MakeDisk, S::RecordOff];
        assert_eq!(diff(&rebuilt(Power::Off, BootOutcome::Off), ABSENT), off);
        let running = diff(&rebuilt(Power::Off, BootOutcome::Begun), RUNNING);
        assert_eq!(running[..3], anew[..3]);
        assert_eq!(running[4..], off);
        let mut never = rebuilt(Power::Off, BootOutcome::Off);
        never.rootfs = 0;
        assert_eq!(
            diff(&never, ABSENT),
            [],
            "its first disk comes with its first boot"
        );
    }

    #[test]
    fn a_disk_that_cannot_be_made_is_tried_again_with_the_next_boot_only() {
        let reason = Reason::lasting(ReasonCode::ImageNotFound, "", "");
        for power in [Power::On, Power::Off] {
            let mut record = record(power, 2, 2, BootOutcome::Failed(reason.clone()));
            (record.body.rootfs, record.rootfs, record.rootfs_failed) = (3, 1, 3);
            assert_eq!(diff(&record, ABSENT), []);
            record.body.rootfs = 4;
            assert!(
                diff(&record, ABSENT).contains(&S::MakeDisk),
                "another one is a new wish"
            );
        }
        let mut record = record(Power::On, 3, 2, BootOutcome::Failed(reason));
        (record.body.rootfs, record.rootfs, record.rootfs_failed) = (3, 1, 3);
        assert!(diff(&record, ABSENT).contains(&S::MakeDisk));
    }

    #[test]
    fn a_boot_that_the_host_lost_is_begun_again() {
        assert!(diff(&record(Power::On, 7, 7, BootOutcome::Begun), ABSENT).contains(&S::StartVmm));
    }

    #[test]
    fn a_running_vm_is_left_alone_or_renewed() {
        let running = record(Power::On, 1, 1, BootOutcome::Begun);
        assert_eq!(diff(&running, RUNNING), []);
        assert_eq!(
            diff(
                &running,
                Actual {
                    ready: Some(3),
                    ..RUNNING
                }
            ),
            [S::RenewConfig]
        );
        assert_eq!(
            diff(
                &running,
                Actual {
                    ready: None,
                    attached: false,
                    ..RUNNING
                }
            ),
            [S::AttachNetwork, S::AwaitReady]
        );
    }

    #[test]
    fn stopping_is_ordered_and_removal_needs_nothing_healthy() {
        let stopped = record(Power::Off, 1, 1, BootOutcome::Begun);
        assert_eq!(
            diff(&stopped, RUNNING),
            [S::StopGuest, S::EndVmm, S::DetachNetwork, S::RecordOff]
        );
        assert_eq!(
            diff(&stopped, ABSENT),
            [S::EndVmm, S::DetachNetwork, S::RecordOff]
        );
        assert_eq!(diff(&record(Power::Off, 1, 1, BootOutcome::Off), ABSENT), []);
        for actual in [ABSENT, RUNNING] {
            let mut gone = record(Power::On, 1, 1, BootOutcome::Begun);
            gone.remove = true;
            assert_eq!(diff(&gone, actual), [S::EndVmm, S::DetachNetwork, S::Forget]);
        }
    }

    proptest::proptest! {
        /// Whatever the numbers, steps that were done leave nothing to do: the loop comes to rest.
        #[test]
        fn doing_the_steps_comes_to_rest(
            on: bool, running: bool, asked_boot in 1u64..4, boot in 0u64..4,
            outcome in 0u8..3, ready in proptest::option::of(0u64..6),
            asked_rootfs in 1u64..4, (rootfs, rootfs_failed) in (0u64..4, 0u64..4),
        ) {
            let power = if on { Power::On } else { Power::Off };
            let outcome = match outcome {
                0 => BootOutcome::Off,
                1 => BootOutcome::Begun,
                _ => BootOutcome::Failed(Reason::lasting(ReasonCode::VmmDied, "", "")),
            };
            let mut record = record(power, asked_boot, boot.min(asked_boot), outcome);
            record.body.rootfs = asked_rootfs;
            record.rootfs = rootfs.min(asked_rootfs);
            record.rootfs_failed = rootfs_failed.min(asked_rootfs);
            let mut actual = Actual { running, attached: running, ready: ready.filter(|_| running) };
            for step in diff(&record, actual) {
                match step {
                    S::StartVmm => {
                        record.boot = record.body.boot;
                        record.outcome = BootOutcome::Begun;
                        actual.running = true;
                    }
                    S::AwaitReady | S::RenewConfig => actual.ready = Some(record.accepted),
                    S::EndVmm => actual = Actual { attached: actual.attached, ..ABSENT },
                    S::AttachNetwork => actual.attached = true,
                    S::DetachNetwork => actual.attached = false,
                    S::RecordOff => record.outcome = BootOutcome::Off,
                    S::MakeDisk => record.rootfs = record.body.rootfs,
                    S::LeaseAddress | S::HostKey | S::Image | S::AwaitTurn | S::StopGuest | S::Forget => {}
                }
            }
            proptest::prop_assert_eq!(diff(&record, actual), vec![]);
        }
    }
}
