use std::process::Command;

use api::{Client, Version};
use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::args::Global;
use crate::connect::{choose, connect, connect_openly};
use crate::contexts::Contexts;
use crate::failure::Failure;
use crate::keys;
use crate::output::Output;
use crate::table::Column::{Elastic, Whole};
use crate::table::Table;

const OWN: &str = env!("CARGO_PKG_VERSION");

#[derive(Debug, Args)]
#[command(after_help = "\
It looks at this side: contexts, server, token, ssh. A host is looked at by pitwall doctor, on that host.

Example:
  pwctl doctor")]
pub(crate) struct Doctor {}

/// Something that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    told: String,
    /// What mends it.
    next: Option<String>,
}

impl Finding {
    const fn good(what: &'static str, told: String) -> Self {
        Self {
            what,
            ok: true,
            told,
            next: None,
        }
    }

    fn bad(what: &'static str, told: impl Into<String>, next: Option<String>) -> Self {
        Self {
            what,
            ok: false,
            told: told.into(),
            next,
        }
    }

    fn of(what: &'static str, looked: Result<String, Failure>) -> Self {
        match looked {
            Ok(told) => Self::good(what, told),
            Err(failure) => Self::bad(what, failure.to_string(), failure.hint()),
        }
    }
}

impl Doctor {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let findings = findings(global).await;
        let names = || findings.iter().map(|finding| finding.what.to_owned()).collect();
        output.list(&json!({ "items": findings, "next": null }), names, || {
            table(&findings)
        })?;
        match findings.iter().filter(|finding| !finding.ok).count() {
            0 => Ok(()),
            count => Err(Failure::Unwell { count }),
        }
    }
}

async fn findings(global: &Global) -> Vec<Finding> {
    let contexts = Contexts::open().map_err(Failure::from);
    let mut findings = vec![
        Finding::of(
            "contexts",
            contexts.map(|contexts| format!("{} known", contexts.iter().count())),
        ),
        Finding::of(
            "context",
            choose(global).map(|choice| choice.context.unwrap_or(choice.server)),
        ),
    ];
    match server(global).await {
        Ok(version) => findings.extend([
            Finding::good("server", format!("answers, version {}", version.version)),
            fit(&version),
            Finding::of("token", token(global).await),
        ]),
        Err(failure) => findings.push(Finding::of("server", Err(failure))),
    }
    findings.push(ssh());
    findings.push(match keys::identity(None, &global.state) {
        Some(path) => Finding::good("made key", path.display().to_string()),
        None => Finding::good("made key", "none here; ssh takes your own".to_owned()),
    });
    findings
}

async fn server(global: &Global) -> Result<Version, Failure> {
    Ok(connect_openly(global)?.version().await?)
}

async fn token(global: &Global) -> Result<String, Failure> {
    let client: Client = connect(global)?;
    client.vm_list().await?;
    Ok("is accepted".to_owned())
}

/// Whether the server still serves a pwctl as old as this.
fn fit(server: &Version) -> Finding {
    let parts = |text: &str| -> Vec<u64> { text.split('.').map_while(|part| part.parse().ok()).collect() };
    match parts(OWN) >= parts(&server.oldest_pwctl) {
        true => Finding::good("version", OWN.to_owned()),
        false => Finding::bad(
            "version",
            format!(
                "{OWN} is older than {}, the oldest that is served",
                server.oldest_pwctl
            ),
            Some("install the pwctl of the server's version".to_owned()),
        ),
    }
}

/// OpenSSH's client prints its version on standard error.
fn ssh() -> Finding {
    match Command::new("ssh").arg("-V").output() {
        Ok(told) => Finding::good("ssh", String::from_utf8_lossy(&told.stderr).trim().to_owned()),
        Err(error) => Finding::bad(
            "ssh",
            error.to_string(),
            Some("install OpenSSH's client: apt-get install openssh-client".to_owned()),
        ),
    }
}

fn table(findings: &[Finding]) -> Table {
    let rows = findings.iter().map(|finding| {
        [
            finding.what.into(),
            if finding.ok { "ok" } else { "bad" }.into(),
            finding.told.as_str().into(),
            finding.next.clone().unwrap_or_default().into(),
        ]
    });
    Table::new(
        [Whole("WHAT"), Whole("IS"), Elastic("FOUND"), Elastic("NEXT")],
        rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pwctl_that_is_too_old_is_told_so() {
        let version = |oldest: &str| {
            let version = json!({ "version": "9.0.0", "api": "v1", "oldest_pwctl": oldest });
            serde_json::from_value::<Version>(version).unwrap()
        };
        assert!(fit(&version(OWN)).ok);
        assert!(fit(&version("0.0.9")).ok);
        assert!(!fit(&version("10.0.0")).ok);
    }
}
