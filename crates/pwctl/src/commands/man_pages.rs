use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::args::Cli;
use crate::failure::Failure;
use crate::files;

#[derive(Debug, Args)]
pub(crate) struct ManPages {
    /// Where they are written: pwctl.1, pwctl-create.1 and so on
    folder: PathBuf,
}

impl ManPages {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut command = Cli::command();
        command.build();
        self.write(&command, "pwctl")
    }

    fn write(&self, command: &clap::Command, name: &str) -> Result<(), Failure> {
        let path = self.folder.join(format!("{name}.1"));
        let failed = |source| Failure::File {
            path: path.clone(),
            source,
        };
        let mut page = Vec::new();
        let man = clap_mangen::Man::new(command.clone().display_name(name.to_owned()));
        man.title(name).render(&mut page).map_err(failed)?;
        files::replace(&path, &page, 0o644).map_err(failed)?;
        let is_shown = |inner: &&clap::Command| !inner.is_hide_set() && inner.get_name() != "help";
        for inner in command.get_subcommands().filter(is_shown) {
            self.write(inner, &format!("{name}-{}", inner.get_name()))?;
        }
        Ok(())
    }
}
