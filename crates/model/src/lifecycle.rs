//! The status people see, computed from what was asked and what was seen.
//!
//! ```text
//!            asked ──┐
//!                    ├─► status() ─► INIT · BUILDING_FILESYSTEM · BOOTING · RUNNING · STOPPING · STOPPED
//!    seen, silent ───┘                ERROR · DELETING · UNKNOWN
//! ```
//!
//! There is no third copy that could drift, and no clock: that a host is silent is a stored fact.

use std::fmt;
use std::str::FromStr;

use crate::{Asked, Phase, Power, Reason, ReasonCode, Seen};

/// The word people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Asked for; its host has not begun.
    Init,
    /// Its image is pulled or its disk is made.
    BuildingFilesystem,
    /// On its way to SSH.
    Booting,
    /// Accepts SSH.
    Running,
    /// On its way to off.
    Stopping,
    /// Off, and everything kept.
    Stopped,
    /// Not as asked, for a reason.
    Error,
    /// On its way out.
    Deleting,
    /// Its host is silent.
    Unknown,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::Init,
        Self::BuildingFilesystem,
        Self::Booting,
        Self::Running,
        Self::Stopping,
        Self::Stopped,
        Self::Error,
        Self::Deleting,
        Self::Unknown,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::BuildingFilesystem => "BUILDING_FILESYSTEM",
            Self::Booting => "BOOTING",
            Self::Running => "RUNNING",
            Self::Stopping => "STOPPING",
            Self::Stopped => "STOPPED",
            Self::Error => "ERROR",
            Self::Deleting => "DELETING",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Whether the VM stays so until something else is asked or happens.
    pub const fn is_settled(self) -> bool {
        match self {
            Self::Running | Self::Stopped | Self::Error => true,
            Self::Init
            | Self::BuildingFilesystem
            | Self::Booting
            | Self::Stopping
            | Self::Deleting
            | Self::Unknown => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(())
    }
}

/// A status with the reason that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusView {
    /// The word.
    pub status: Status,
    /// Why, for `ERROR` and for a start that is tried again.
    pub reason: Option<Reason>,
}

impl StatusView {
    const fn plain(status: Status) -> Self {
        Self { status, reason: None }
    }
}

/// Computes the status of a VM. `host_silent` is the stored fact that its host has not reported for too long.
pub fn status(asked: &Asked, seen: Option<&Seen>, host_silent: bool) -> StatusView {
    if asked.remove {
        return StatusView::plain(Status::Deleting);
    }
    if host_silent {
        return StatusView::plain(Status::Unknown);
    }
    match seen.filter(|seen| seen.placement == asked.placement) {
        None => StatusView::plain(Status::Init),
        Some(seen) => of_seen(asked, seen),
    }
}

fn of_seen(asked: &Asked, seen: &Seen) -> StatusView {
    let wish_is_newer = seen.accepted < asked.generation;
    let boot_is_newer = seen.boot < asked.body.boot;
    let status = match (asked.body.power, seen.phase) {
        (_, Phase::Gone) => {
            return StatusView {
                status: Status::Error,
                reason: Some(Reason::lasting(
                    ReasonCode::PlacementRemoved,
                    "its host has removed this VM",
                    "remove it here too (pwctl rm) and create it again",
                )),
            };
        }
        (Power::On, Phase::Stopped | Phase::Failed) if wish_is_newer && boot_is_newer => Status::Init,
        (Power::On, Phase::Stopped) => Status::Stopped,
        (Power::Off, Phase::Running | Phase::Booting | Phase::BuildingFilesystem) if wish_is_newer => {
            Status::Stopping
        }
        (_, Phase::Accepted) => Status::Init,
        (_, Phase::BuildingFilesystem) => Status::BuildingFilesystem,
        (_, Phase::Booting) => Status::Booting,
        (_, Phase::Running) => Status::Running,
        (_, Phase::Stopping) => Status::Stopping,
        (Power::Off, Phase::Stopped) => Status::Stopped,
        (_, Phase::Failed) => Status::Error,
        (_, Phase::Removing) => Status::Deleting,
    };
    let reason = if status == Status::Init {
        None
    } else {
        seen.reason.clone()
    };
    StatusView { status, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ByteSize, VmBody, VmId};

    fn asked(power: Power, generation: u64, boot: u64) -> Asked {
        Asked {
            id: VmId::from_random([1; 16]),
            placement: 1,
            generation,
            remove: false,
            body: VmBody {
                name: "a".parse().unwrap(),
                image: "debian".parse().unwrap(),
                cpus: 1,
                memory: ByteSize::from_mib(256),
                disk: ByteSize::from_mib(1024),
                power,
                boot,
                rootfs: 1,
                authorized_keys: vec![],
                needs: [].into(),
                options: crate::VmOptions::default(),
                barred: [].into(),
                idle_after: None,
                registry_secret: None,
            },
        }
    }

    fn seen(phase: Phase, generation: u64, boot: u64) -> Seen {
        Seen {
            placement: 1,
            accepted: generation,
            settled: generation,
            phase,
            boot,
            rootfs: 1,
            reason: None,
            stage: None,
            address: None,
            ssh_port: None,
            login: None,
            host_keys: vec![],
            image_digest: None,
            service: None,
            powered_off: false,
            idle: crate::Idle::Active,
        }
    }

    #[test]
    fn the_table() {
        use Phase as P;
        use Power::{Off, On};
        use Status as S;
        for (power, (generation, boot), phase, (seen_generation, seen_boot), expected) in [
            (On, (1, 1), P::Accepted, (1, 0), S::Init),
            (On, (1, 1), P::BuildingFilesystem, (1, 0), S::BuildingFilesystem),
            (On, (1, 1), P::Booting, (1, 1), S::Booting),
            (On, (1, 1), P::Running, (1, 1), S::Running),
            (On, (2, 1), P::Running, (1, 1), S::Running),
            (Off, (2, 1), P::Running, (1, 1), S::Stopping),
            (Off, (2, 1), P::Stopping, (2, 1), S::Stopping),
            (Off, (2, 1), P::Stopped, (2, 1), S::Stopped),
            (On, (3, 2), P::Stopped, (2, 1), S::Init),
            (On, (1, 1), P::Stopped, (1, 1), S::Stopped),
            (On, (1, 1), P::Failed, (1, 1), S::Error),
            (On, (2, 2), P::Failed, (1, 1), S::Init),
            (On, (2, 2), P::Failed, (2, 2), S::Error),
            (On, (2, 1), P::Failed, (1, 1), S::Error),
            (Off, (2, 1), P::Failed, (1, 1), S::Error),
            (On, (1, 1), P::Gone, (1, 1), S::Error),
        ] {
            let view = status(
                &asked(power, generation, boot),
                Some(&seen(phase, seen_generation, seen_boot)),
                false,
            );
            assert_eq!(
                view.status, expected,
                "{power:?} {generation}/{boot} seen {phase:?} {seen_generation}/{seen_boot}"
            );
        }
    }

    #[test]
    fn removal_and_silence_come_first() {
        let mut wish = asked(Power::On, 1, 1);
        let running = seen(Phase::Running, 1, 1);
        assert_eq!(status(&wish, Some(&running), true).status, Status::Unknown);
        assert_eq!(status(&wish, None, false).status, Status::Init);
        wish.placement = 2;
        assert_eq!(status(&wish, Some(&running), false).status, Status::Init);
        wish.remove = true;
        assert_eq!(status(&wish, Some(&running), true).status, Status::Deleting);
    }

    #[test]
    fn words_round_trip() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
    }
}
