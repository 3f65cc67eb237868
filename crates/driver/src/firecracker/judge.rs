//! Whether Firecracker can run machines here, found out once; and how one ended.

use std::path::Path;

use super::FirecrackerVmm;
use crate::process::Status;
use crate::{Accelerator, DriverError, GuestWish, Verdict, kvm};

/// What Firecracker writes last when its guest reset the machine.
const ENDED_WELL: &str = "Firecracker exiting successfully. exit_code=0";

/// What it writes when the host's KVM could not go on with the guest. Some versions end well all the same.
const GAVE_UP: &str = "KVM_EXIT_INTERNAL_ERROR";

impl FirecrackerVmm {
    pub(super) async fn verdict(&self) -> Result<&Verdict, DriverError> {
        self.verdict.get_or_try_init(|| self.judge()).await
    }

    async fn judge(&self) -> Result<Verdict, DriverError> {
        let vmm = version(&self.config.firecracker).await?;
        version(&self.config.jailer).await?;
        let (accelerator, why) = if self.config.unprobed {
            (Accelerator::Hardware, "the configuration says so".to_owned())
        } else {
            kvm::ask().await
        };
        match accelerator {
            Accelerator::Hardware => Ok(Verdict {
                accelerator,
                why,
                vmm,
            }),
            Accelerator::Software => Err(DriverError::NoProcessor { why }),
        }
    }
}

async fn version(program: &Path) -> Result<String, DriverError> {
    let output = tokio::process::Command::new(program)
        .arg("--version")
        .output()
        .await;
    let output = output.map_err(|source| DriverError::Execute {
        binary: program.to_owned(),
        source,
    })?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned())
}

/// What the guest wanted by the end of its machine, as far as its VMM's process and log tell. A guest has one way to end
/// it, a reset. Pure.
pub(super) fn wish(status: Status, log: &str) -> Option<GuestWish> {
    let ended_well = match status {
        Status { signal: Some(_), .. } => false,
        Status { code: Some(code), .. } => code == 0,
        // It was not our child, or nobody looked.
        Status { .. } => log.contains(ENDED_WELL),
    };
    (ended_well && !log.contains(GAVE_UP)).then_some(GuestWish::Reset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_told_from_a_death_by_status_or_log() {
        let status = |code, signal| Status { code, signal };
        let well = "2026-11-22T06:06:22 [vm:INFO] Firecracker exiting successfully. exit_code=0";
        let gave_up = format!("[vm:ERROR] Received KVM_EXIT_INTERNAL_ERROR signal\n{well}");
        for (status, log, wanted) in [
            (status(Some(0), None), well, Some(GuestWish::Reset)),
            (status(None, None), well, Some(GuestWish::Reset)),
            (status(None, None), "[vm:INFO] Running Firecracker v1.12.1", None),
            (status(None, Some(9)), well, None),
            (status(Some(1), None), "", None),
            (status(Some(0), None), &gave_up, None),
            (status(None, None), &gave_up, None),
        ] {
            assert_eq!(wish(status, log), wanted, "{status:?} {log}");
        }
    }
}
