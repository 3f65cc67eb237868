//! Why a step failed, and what people read then.

use driver::{DriverError, Exit};
use image::{CacheError, PullError};
use link::SecretError;
use model::{Feature, Reason, ReasonCode, VmName};
use wire::secret::SecretRefusal;

use super::GuestEnd;
use crate::disk::{DiskError, disk_full};
use crate::memory::FileError;
use crate::network::NetworkError;

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error("a newer wish made the step pointless")]
    Superseded,
    #[error("failed to write the host's memory")]
    Memory(#[from] FileError),
    #[error("failed to get the image")]
    Image(#[source] PullError),
    #[error("failed to get the credentials for the image")]
    Secret(#[from] SecretError),
    #[error("failed to look into the image cache")]
    Cache(#[from] CacheError),
    #[error("the image {0} is not in the host's cache any more")]
    ImageLost(model::Digest),
    #[error("failed to make the disk")]
    Disk(#[from] DiskError),
    #[error("failed to attach to the network")]
    Network(#[from] NetworkError),
    #[error("the VMM failed")]
    Driver(#[from] DriverError),
    #[error("no address is free")]
    NoAddress,
    #[error("failed to make a host key")]
    HostKey(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the host has no kernel for guests")]
    NoKernel,
    #[error("the host lacks {0}")]
    FeatureMissing(Feature),
    #[error("the VMM ended while the guest booted")]
    VmmEnded(GuestEnd),
    #[error("the guest failed: {code}")]
    Guest { code: String, message: String },
    #[error("the guest did not accept SSH in time")]
    BootTimeout {
        seconds: u64,
        stage: Option<String>,
        console: String,
    },
    #[error("a background task of the host ended early")]
    Task(#[from] tokio::task::JoinError),
}

impl StepError {
    /// What people read.
    pub(crate) fn reason(&self, name: &VmName) -> Reason {
        match self {
            Self::Superseded => Reason::passing(
                ReasonCode::HostFailed,
                "a newer wish came while it was worked on",
                "nothing; the newer wish is worked on",
            ),
            Self::Memory(error) => memory_reason(error),
            Self::Image(error) => error.reason(),
            Self::Secret(SecretError::Refused(SecretRefusal::Unknown)) => Reason::lasting(
                ReasonCode::ImageForbidden,
                "control has no credentials for its image any more",
                format!("create it again with credentials, or remove it: pwctl rm {name}"),
            ),
            Self::Secret(
                error @ (SecretError::Away
                | SecretError::Busy
                | SecretError::Refused(SecretRefusal::Unavailable)),
            ) => Reason::passing(
                ReasonCode::HostFailed,
                format!("the credentials for its image cannot be fetched: {error}"),
                "see that the control plane is up and reached from the host; it is tried again by itself",
            ),
            Self::Cache(error) => Reason::passing(
                ReasonCode::HostFailed,
                format!("the image cache cannot be read: {error}"),
                "look at the host's disk and at the log of pitwall; it is tried again by itself",
            ),
            Self::ImageLost(digest) => Reason::lasting(
                ReasonCode::ImageNotFound,
                format!("the image {digest} is not in the host's cache any more"),
                format!("create a VM from it anew, or remove this one: pwctl rm {name}"),
            ),
            Self::Disk(error) => error.reason(),
            Self::Network(error) => error.reason(),
            Self::Driver(error) => error.reason(),
            Self::NoAddress => Reason::passing(
                ReasonCode::NoAddress,
                "no address of the host's subnet is free",
                "remove VMs (pwctl ls, pwctl rm), or give the host a larger --subnet; it is tried again by itself",
            ),
            Self::HostKey(error) => Reason::passing(
                ReasonCode::HostFailed,
                format!("its host key cannot be made: {error}"),
                "look at the log of pitwall; it is tried again by itself",
            ),
            Self::NoKernel => Reason::passing(
                ReasonCode::HostNotReady,
                "the host has no kernel for guests",
                "make one with: make bundle",
            ),
            Self::FeatureMissing(feature) => Reason::lasting(
                ReasonCode::FeatureMissing,
                format!("the host does not have the feature {feature}, which this VM needs"),
                "update pitwall on the host, or remove the VM and create it again",
            ),
            Self::VmmEnded(end) => vmm_died(name, &end.exit),
            Self::Guest { code, message } => Reason::lasting(
                ReasonCode::GuestFailed,
                format!("its init reports {code}: {message}"),
                format!("try another image, or try again: pwctl start {name}"),
            ),
            Self::BootTimeout {
                seconds,
                stage,
                console,
            } => {
                let stage = stage.as_deref().unwrap_or("the kernel");
                Reason::lasting(
                    ReasonCode::BootTimeout,
                    format!(
                        "it did not accept SSH within {seconds} s; it came as far as {stage}{}",
                        last(console)
                    ),
                    format!("try again: pwctl start {name}; a busy host may need a longer boot_deadline"),
                )
            }
            Self::Task(error) => Reason::passing(
                ReasonCode::HostFailed,
                format!("a background task ended early: {error}"),
                "look at the log of pitwall; it is tried again by itself",
            ),
        }
    }
}

impl From<FileError> for Reason {
    fn from(error: FileError) -> Self {
        memory_reason(&error)
    }
}

fn memory_reason(error: &FileError) -> Reason {
    if error.is_disk_full() {
        return disk_full();
    }
    let code = match error {
        FileError::Damaged { .. } => ReasonCode::StateDamaged,
        FileError::Write { .. } | FileError::Read { .. } | FileError::Remove { .. } => ReasonCode::HostFailed,
    };
    Reason::passing(
        code,
        error.to_string(),
        "look at the host's disk; it is tried again by itself",
    )
}

/// The reason of a VM whose VMM ended although nobody wanted it to.
pub(crate) fn vmm_died(name: &VmName, exit: &Exit) -> Reason {
    let how = match (exit.wish, exit.signal, exit.status) {
        (Some(_), _, _) => "ended because the guest reset its machine before it accepted SSH".to_owned(),
        (None, Some(signal), _) => format!("was ended by signal {signal}"),
        (None, None, Some(status)) => format!("ended with exit status {status}"),
        (None, None, None) => {
            "ended while pitwall was not its parent, so its exit status is not known".to_owned()
        }
    };
    Reason::lasting(
        ReasonCode::VmmDied,
        format!("its virtual machine monitor {how}{}", last(&exit.console_tail)),
        format!("start it again, its disk is kept: pwctl start {name}"),
    )
}

/// The last lines of a console, as the end of a sentence.
fn last(console: &str) -> String {
    let lines: Vec<_> = console
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let from = lines.len().saturating_sub(3);
    match lines.get(from..) {
        Some(lines) if !lines.is_empty() => format!("; the console's last lines: {}", lines.join(" / ")),
        _ => "; its console is empty".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_names_signal_or_status_and_the_console() {
        let exit = Exit {
            status: None,
            signal: Some(9),
            wish: None,
            console_tail: "a\n\nb\n".into(),
        };
        let reason = vmm_died(&"web".parse().unwrap(), &exit);
        assert_eq!(
            reason.message,
            "its virtual machine monitor was ended by signal 9; the console's last lines: a / b"
        );
        assert!(reason.hint.ends_with("pwctl start web"));
    }
}
