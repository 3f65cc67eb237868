//! Running the firewall's own programs.

use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::hands::HandsError;

/// One run of a program.
pub(super) struct Run<'a> {
    pub(super) program: &'static str,
    /// What it is asked for, to complete "could not …".
    pub(super) operation: &'static str,
    pub(super) arguments: &'a [&'a str],
    pub(super) input: &'a str,
}

impl Run<'_> {
    /// Its standard output, if it succeeds.
    pub(super) async fn output(&self) -> Result<String, HandsError> {
        let output = self.finish().await?;
        if !output.status.success() {
            return Err(HandsError::Program {
                program: self.program,
                operation: self.operation,
                said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    async fn finish(&self) -> Result<Output, HandsError> {
        let failed = |source| HandsError::Run {
            program: self.program,
            source,
        };
        let mut child = Command::new(self.program)
            .args(self.arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that refuses its input early closes the pipe; its own words tell more than ours would.
            if let Err(error) = stdin.write_all(self.input.as_bytes()).await
                && error.kind() != std::io::ErrorKind::BrokenPipe
            {
                return Err(failed(error));
            }
        }
        child.wait_with_output().await.map_err(failed)
    }
}
