//! How machines run on this host, found out once.

use super::kvm::{self, Finding};
use super::{Qemu, tsc};
use crate::{Accelerator, DriverError, Verdict};

impl Qemu {
    pub(super) async fn verdict(&self) -> Result<&Verdict, DriverError> {
        self.verdict.get_or_try_init(|| self.judge()).await
    }

    async fn judge(&self) -> Result<Verdict, DriverError> {
        let vmm = self.version().await?;
        let (accelerator, mut why) = match self.config.accelerator {
            Some(chosen) => (chosen, "the configuration says so".to_owned()),
            None => weigh(tokio::task::spawn_blocking(kvm::probe).await.ok()),
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

fn weigh(finding: Option<Finding>) -> (Accelerator, String) {
    match finding {
        Some(Finding::Runs) => (
            Accelerator::Hardware,
            "KVM ran a guest at the processor's own speed".to_owned(),
        ),
        Some(Finding::Interprets(took)) => (
            Accelerator::Software,
            format!(
                "/dev/kvm is there, but it interprets guests instead of running them: 10,000 instructions took {:.1} ms, \
                 and a processor takes microseconds",
                took.as_secs_f64() * 1000.0
            ),
        ),
        Some(Finding::Unusable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            (Accelerator::Software, "this host has no /dev/kvm".to_owned())
        }
        Some(Finding::Unusable { operation, source }) => (
            Accelerator::Software,
            format!("cannot {operation} /dev/kvm: {source}"),
        ),
        None => (
            Accelerator::Software,
            "the probe of /dev/kvm did not finish".to_owned(),
        ),
    }
}
