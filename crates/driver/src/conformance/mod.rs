//! The suite that every driver passes: what the port promises, asked of a real adapter and of the simulator alike.
//!
//! A [`Fixture`] stands for a host: it makes fresh adapters over the same machines, and does to these what only the
//! world outside does. Each case has a machine of its own and leaves nothing behind.

mod cases;

use std::sync::Arc;
use std::time::Duration;

use model::VmId;

use crate::{Driver, DriverError, MachineSpec};

/// What the guest of a machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// Nothing, for ever.
    Idles,
    /// It writes `hello` on its console and powers off.
    PowersOff,
}

/// A host to run the suite on.
#[async_trait::async_trait]
pub trait Fixture: Send + Sync {
    /// A fresh adapter over the host's machines, as after a restart of Pitwall.
    fn driver(&self) -> Arc<dyn Driver>;

    /// A machine with an id that no other has.
    fn spec(&self, guest: Guest) -> MachineSpec;

    /// Called once such a machine has been started; a guest that has no will of its own is given one here.
    async fn started(&self, id: VmId, guest: Guest);

    /// Kills the VMM from outside with SIGKILL.
    async fn kill(&self, id: VmId);

    /// Spoils what is known of the machine at run time. Where nothing can be spoilt, nothing is done.
    async fn damage(&self, id: VmId);

    /// How many VMMs run for this id.
    fn running(&self, id: VmId) -> usize;

    /// The user that the machine's VMM runs as; none where it is no process of this host.
    fn runs_as(&self, id: VmId) -> Option<u32>;

    /// Processes, files and whatever else is there and should not be.
    fn leftovers(&self) -> Vec<String>;
}

/// A promise of the port that was not kept.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// A verb failed.
    #[error("{case}: a verb failed")]
    Failed {
        /// Where.
        case: &'static str,
        /// How.
        #[source]
        source: DriverError,
    },
    /// Something is not as it should be.
    #[error("{case}: {what}")]
    Promise {
        /// Where.
        case: &'static str,
        /// What was expected and what was found.
        what: String,
    },
    /// It took too long.
    #[error("{case}: not done within {} s", limit.as_secs())]
    TooSlow {
        /// Where.
        case: &'static str,
        /// How long was waited.
        limit: Duration,
    },
}

/// Runs every case, one after the other.
///
/// # Errors
/// The first promise that is not kept.
pub async fn run(fixture: &dyn Fixture) -> Result<(), Broken> {
    cases::an_unknown_machine_is_absent(fixture).await?;
    cases::ensure_twice_starts_once(fixture).await?;
    cases::ensure_at_once_starts_once(fixture).await?;
    cases::stop_and_destroy_may_be_repeated(fixture).await?;
    cases::a_stopped_machine_starts_again(fixture).await?;
    cases::a_killed_vmm_is_seen(fixture).await?;
    cases::a_power_off_is_told_from_a_death(fixture).await?;
    cases::a_fresh_adapter_finds_what_runs(fixture).await?;
    cases::a_fresh_adapter_finds_what_ended(fixture).await?;
    cases::the_control_channel_comes_back(fixture).await?;
    cases::a_channel_that_waits_ends_with_its_machine(fixture).await?;
    cases::a_console_has_one_seat(fixture).await?;
    cases::no_console_where_there_is_none(fixture).await?;
    cases::a_vmm_runs_as_its_owner(fixture).await?;
    cases::too_many_disks_are_refused(fixture).await?;
    cases::destroy_works_on_what_is_damaged(fixture).await?;
    let leftovers = fixture.leftovers();
    if leftovers.is_empty() {
        Ok(())
    } else {
        Err(Broken::Promise {
            case: "the end",
            what: format!("left behind: {}", leftovers.join(", ")),
        })
    }
}
