use std::collections::BTreeMap;

use api::ChangeVm;
use clap::Args;

use crate::args::Global;
use crate::complete;
use crate::connect::connect;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pwctl label web
  pwctl label web tier=front stage=test
  pwctl label web stage-")]
pub(crate) struct Label {
    /// Name or id
    #[arg(add = complete::vms())]
    vm: String,
    /// NAME=VALUE sets a label, NAME- removes it
    #[arg(value_name = "NAME=VALUE|NAME-", value_parser = change)]
    changes: Vec<(String, Option<String>)>,
}

/// A label to set, or without a value one to remove.
fn change(text: &str) -> Result<(String, Option<String>), String> {
    if let Some((name, value)) = text.split_once('=') {
        return Ok((name.to_owned(), Some(value.to_owned())));
    }
    match text.strip_suffix('-') {
        Some(name) => Ok((name.to_owned(), None)),
        None => Err("write NAME=VALUE to set a label, NAME- to remove it".to_owned()),
    }
}

impl Label {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let client = connect(global)?;
        let labels: BTreeMap<_, _> = self.changes.into_iter().collect();
        let vm = match labels.is_empty() {
            true => client.vm_get(&self.vm).await?,
            false => {
                let change = ChangeVm {
                    labels,
                    ..ChangeVm::default()
                };
                client.vm_change(&self.vm, &change).await?
            }
        };
        output.one(&vm, &vm.name, || {
            let lines = vm.labels.iter().map(|(name, value)| format!("{name}={value}\n"));
            lines.collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_set_or_removed() {
        let set = |name: &str, value: &str| Ok((name.to_owned(), Some(value.to_owned())));
        assert_eq!(change("tier=web"), set("tier", "web"));
        assert_eq!(change("note=a=b-"), set("note", "a=b-"));
        assert_eq!(change("tier-"), Ok(("tier".to_owned(), None)));
        assert!(change("tier").is_err());
    }
}
