//! How machines run on this host, found out once.

use super::{QemuVmm, tsc};
use crate::{Accelerator, DriverError, Verdict, kvm};

impl QemuVmm {
    pub(super) async fn verdict(&self) -> Result<&Verdict, DriverError> {
        self.verdict.get_or_try_init(|| self.judge()).await
    }

    async fn judge(&self) -> Result<Verdict, DriverError> {
        let vmm = self.version().await?;
        let (accelerator, mut why) = match self.config.accelerator {
            Some(chosen) => (chosen, "the configuration says so".to_owned()),
            None => kvm::ask().await,
        };
        if accelerator == Accelerator::Software && !tsc::is_reliable() {
            why.push_str("; this host's time-stamp counter is unsteady, so clocks of guests may be wrong");
        }
        Ok(Verdict {
            accelerator,
            why,
            vmm,
        })
    }

    async fn version(&self) -> Result<String, DriverError> {
        let output = tokio::process::Command::new(&self.config.binary)
            .arg("--version")
            .output()
            .await;
        let output = output.map_err(|source| DriverError::Execute {
            binary: self.config.binary.clone(),
            source,
        })?;
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned())
    }
}
