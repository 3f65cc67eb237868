use std::str::FromStr;

use api::client::all_pages;
use api::{ByteSize, Client, PutQuota, Quota as ApiQuota, QuotaLimits};
use clap::{Args, Subcommand};

use crate::args::Global;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::Column::Whole;
use crate::table::{Table, size};

/// What stands for the installation's own limit.
const DEFAULT: &str = "default";

#[derive(Debug, Subcommand)]
pub(crate) enum Quota {
    /// Show limits and use: your own, or those of a team you are in
    #[command(after_help = "Examples:\n  pwctl quota show\n  pwctl quota show ops")]
    Show(Show),
    /// Show the quotas of all users and teams, for admins
    #[command(visible_alias = "list", after_help = "Example:\n  pwctl quota ls")]
    Ls,
    /// Set limits of a user or team, for admins
    Set(Set),
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// A user or team
    #[arg(default_value = "me")]
    who: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Limits that are not named stay. The word default stands for what the installation has. Nothing stops that is over a new limit.

Examples:
  pwctl quota set ann --vms 10 --memory 16G
  pwctl quota set ann --vms default")]
pub(crate) struct Set {
    /// A user or team
    who: String,
    /// VMs
    #[arg(long, value_name = "NUMBER|default")]
    vms: Option<Limit<u64>>,
    /// Processors of running VMs
    #[arg(long, value_name = "NUMBER|default")]
    cpus: Option<Limit<u64>>,
    /// Memory of running VMs
    #[arg(long, value_name = "SIZE|default")]
    memory: Option<Limit<ByteSize>>,
    /// Writable disks
    #[arg(long, value_name = "SIZE|default")]
    disk: Option<Limit<ByteSize>>,
    /// Running VMs
    #[arg(long, value_name = "NUMBER|default")]
    running: Option<Limit<u64>>,
}

/// A limit as it is typed; `None` is the installation's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit<T>(Option<T>);

impl<T: FromStr> FromStr for Limit<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        match text {
            DEFAULT => Ok(Self(None)),
            other => other.parse().map(|limit| Self(Some(limit))),
        }
    }
}

impl Quota {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        match self {
            Self::Show(show) => told(&client.quota_get(&show.who).await?, output),
            Self::Ls => list(&client, output).await,
            Self::Set(set) => {
                let before = client.quota_get(&set.who).await?.set;
                told(&client.quota_put(&set.who, &set.over(before)).await?, output)
            }
        }
    }
}

impl Set {
    fn over(&self, before: QuotaLimits) -> PutQuota {
        let bytes = |limit: Option<Limit<ByteSize>>, before| match limit {
            Some(Limit(limit)) => limit.map(ByteSize::bytes),
            None => before,
        };
        let number = |limit: Option<Limit<u64>>, before| limit.map_or(before, |Limit(limit)| limit);
        PutQuota {
            vms: number(self.vms, before.vms),
            cpus: number(self.cpus, before.cpus),
            memory_bytes: bytes(self.memory, before.memory_bytes),
            disk_bytes: bytes(self.disk, before.disk_bytes),
            running: number(self.running, before.running),
        }
    }
}

fn told(quota: &ApiQuota, output: &Output) -> Result<(), Failure> {
    let rows = || resources(quota).map(|(what, used, limit)| format!("{what:<8}{used} of {limit}\n"));
    output.one(quota, &quota.principal, || rows().concat())
}

async fn list(client: &Client, output: &Output) -> Result<(), Failure> {
    let list = all_pages(async |page| client.quota_list(&page).await).await?;
    let names = || list.items.iter().map(|quota| quota.principal.clone()).collect();
    output.list(&list, names, || {
        let rows = list.items.iter().map(|quota| {
            let [vms, cpus, memory, disk, running] =
                resources(quota).map(|(_, used, limit)| format!("{used}/{limit}"));
            [quota.principal.clone(), vms, running, cpus, memory, disk].map(Into::into)
        });
        let columns = ["WHO", "VMS", "RUNNING", "CPUS", "MEMORY", "DISK"].map(Whole);
        Table::new(columns, rows)
    })
}

/// What is counted, how much is used, and the limit.
fn resources(quota: &ApiQuota) -> [(&'static str, String, String); 5] {
    let (used, limits) = (quota.used, quota.limits);
    let limit = |limit: Option<u64>, text: fn(u64) -> String| limit.map_or_else(|| "any".to_owned(), text);
    let plain = |number: u64| number.to_string();
    [
        ("vms", plain(used.vms), limit(limits.vms, plain)),
        ("cpus", plain(used.cpus), limit(limits.cpus, plain)),
        (
            "memory",
            size(used.memory_bytes),
            limit(limits.memory_bytes, size),
        ),
        ("disk", size(used.disk_bytes), limit(limits.disk_bytes, size)),
        ("running", plain(used.running), limit(limits.running, plain)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_changes() {
        let before = QuotaLimits {
            vms: Some(3),
            cpus: Some(4),
            ..QuotaLimits::default()
        };
        let set = Set {
            who: "ann".into(),
            vms: Some("default".parse().unwrap()),
            cpus: None,
            memory: Some("1G".parse().unwrap()),
            disk: None,
            running: Some("0".parse().unwrap()),
        };
        let put = set.over(before);
        assert_eq!((put.vms, put.cpus, put.running), (None, Some(4), Some(0)));
        assert_eq!((put.memory_bytes, put.disk_bytes), (Some(1 << 30), None));
        assert!("-1".parse::<Limit<u64>>().is_err());
    }
}
