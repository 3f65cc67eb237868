use clap::Args;
use serde_json::json;
use similar::TextDiff;

use crate::args::Global;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::ssh_config::{self, Change};

#[derive(Debug, Args)]
#[command(after_help = "\
One line, an Include, is put at the top of ~/.ssh/config; the file as it was is kept as config.before-pitwall. All else
stands in files of pwctl's own. Every pwctl that creates, rebuilds or removes a VM renews them. A VM is NAME where that is
clear, and always NAME.OWNER.

Examples:
  pwctl config-ssh --dry-run
  pwctl config-ssh
  pwctl config-ssh --remove")]
pub(crate) struct ConfigSsh {
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Take it all away again
    #[arg(long)]
    remove: bool,
}

impl ConfigSsh {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let changes = match self.remove {
            true => ssh_config::taken_away()?,
            false => ssh_config::set_up(global, &connect(global)?).await?,
        };
        if !self.dry_run {
            ssh_config::apply(&changes)?;
        }
        let paths: Vec<_> = changes
            .iter()
            .map(|change| change.path.display().to_string())
            .collect();
        output.many(&json!({ "changed": paths }), paths.clone(), || {
            match self.dry_run {
                true => changes.iter().map(difference).collect(),
                false => self.told(&paths),
            }
        })
    }

    fn told(&self, paths: &[String]) -> String {
        let lines: String = paths.iter().map(|path| format!("changed {path}\n")).collect();
        match (paths.is_empty(), self.remove) {
            (true, _) => "nothing to change\n".to_owned(),
            (false, true) => lines,
            (false, false) => lines + "sign in with: ssh NAME\n",
        }
    }
}

/// As diff -u shows it.
fn difference(change: &Change) -> String {
    let path = change.path.display().to_string();
    let side = |text: &Option<String>| match text {
        Some(_) => path.clone(),
        None => "/dev/null".to_owned(),
    };
    let (before, after) = (change.before.as_deref(), change.after.as_deref());
    let diff = TextDiff::from_lines(before.unwrap_or_default(), after.unwrap_or_default());
    diff.unified_diff()
        .header(&side(&change.before), &side(&change.after))
        .to_string()
}
