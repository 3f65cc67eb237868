//! Plans and reports: what control wants on a host, and what the host has.
//!
//! ```text
//!   control ── HostPlan { number, vms } ──► host
//!   control ◄── HostReport { start, number, plan, vms } ── host
//! ```
//!
//! A plan is whole: it names every VM that control knows on the host. A VM it does not name is *found*: it keeps
//! running and is reported. A VM that must go stands in the plan with `remove` until it is reported gone.

mod codec;

use model::{Capacity, Feature, HeldImage, HostId, HostName, InstallationId, RequestId, Seen, VmBody, VmId};

/// Everything that should be on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPlan {
    /// The installation that speaks.
    pub installation: InstallationId,
    /// The host it is meant for.
    pub host: HostId,
    /// Rises with each change of content.
    pub number: u64,
    /// The VMs, in the order of their ids.
    pub vms: Vec<VmPlan>,
}

/// One VM of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmPlan {
    /// The VM.
    pub id: VmId,
    /// Rises when the VM moves.
    pub placement: u64,
    /// Rises with each change of what is asked.
    pub generation: u64,
    /// Whether it must go.
    pub remove: bool,
    /// What is asked; may be absent where the host has reported that it holds this generation.
    pub body: Option<VmBody>,
    /// The request that asked for this generation, for the log; may be absent as the body may, and where nobody asked.
    pub request: Option<RequestId>,
}

impl HostPlan {
    /// Whether two plans of one number say different things. A body that only one of them carries is no
    /// difference, since a sender may leave it out; a request is none, since it is no part of what is asked.
    pub fn contradicts(&self, other: &Self) -> bool {
        self.vms.len() != other.vms.len()
            || self.vms.iter().zip(&other.vms).any(|(a, b)| {
                let bodies_differ = matches!((&a.body, &b.body), (Some(a), Some(b)) if a != b);
                (a.id, a.placement, a.generation, a.remove) != (b.id, b.placement, b.generation, b.remove)
                    || bodies_differ
            })
    }
}

/// Everything that is on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostReport {
    /// The installation the host obeys, once it does.
    pub installation: Option<InstallationId>,
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: HostName,
    /// The version of its orchestrator.
    pub version: String,
    /// Rises with each start of the orchestrator.
    pub start: u64,
    /// Rises with each report of one start.
    pub number: u64,
    /// The newest plan accepted; 0 before the first.
    pub plan: u64,
    /// Why the last plan that came was not accepted.
    pub refusal: Option<Refusal>,
    /// The VMs the host has.
    pub vms: Vec<VmReport>,
    /// What it can hold; `None` is "as it was".
    pub capacity: Option<Capacity>,
    /// The images it holds; `None` is "as it was".
    pub images: Option<Vec<HeldImage>>,
    /// What it can do; `None` is "as it was".
    pub features: Option<Vec<Feature>>,
}

impl HostReport {
    /// Where the report stands in the order of all reports of its host.
    pub const fn order(&self) -> (u64, u64) {
        (self.start, self.number)
    }
}

/// One VM of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmReport {
    /// The VM.
    pub id: VmId,
    /// What was seen of it.
    pub seen: Seen,
    /// Whether the host's plan does not name it.
    pub found: bool,
    /// What the host holds of its wish, so that control can adopt it; sent where it is found.
    pub body: Option<VmBody>,
}

/// Why a host did not accept a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The refused plan's number.
    pub plan: u64,
    /// The cause.
    pub code: RefusalCode,
    /// The cause, for people.
    pub message: String,
}

/// The causes of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCode {
    /// The host has accepted a newer plan.
    OlderPlan,
    /// The host obeys another installation.
    OtherInstallation,
    /// It is meant for another host.
    OtherHost,
    /// A plan of that number with other content was accepted.
    SameNumberOtherContent,
    /// It leaves out the body of a generation that the host does not hold.
    Incomplete,
    /// A cause from a newer host.
    Unrecognised,
}

impl RefusalCode {
    /// The stable text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OlderPlan => "older_plan",
            Self::OtherInstallation => "other_installation",
            Self::OtherHost => "other_host",
            Self::SameNumberOtherContent => "same_number_other_content",
            Self::Incomplete => "incomplete",
            Self::Unrecognised => "unrecognised",
        }
    }

    /// The cause of a text form.
    pub fn parse(text: &str) -> Self {
        match text {
            "older_plan" => Self::OlderPlan,
            "other_installation" => Self::OtherInstallation,
            "other_host" => Self::OtherHost,
            "same_number_other_content" => Self::SameNumberOtherContent,
            "incomplete" => Self::Incomplete,
            _ => Self::Unrecognised,
        }
    }
}
