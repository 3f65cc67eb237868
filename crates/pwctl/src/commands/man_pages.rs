use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_mangen::Man;

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

    /// The page of a command, then those of the commands in it.
    fn write(&self, command: &clap::Command, name: &str) -> Result<(), Failure> {
        let path = self.folder.join(format!("{name}.1"));
        let failed = |source| Failure::File {
            path: path.clone(),
            source,
        };
        let mut page = Vec::new();
        render(command, name, &mut page).map_err(failed)?;
        files::replace(&path, &page, 0o644).map_err(failed)?;
        let is_shown = |inner: &&clap::Command| !inner.is_hide_set() && inner.get_name() != "help";
        for inner in command.get_subcommands().filter(is_shown) {
            self.write(inner, &format!("{name}-{}", inner.get_name()))?;
        }
        Ok(())
    }
}

fn render(command: &clap::Command, name: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let man = Man::new(command.clone().display_name(name.to_owned())).title(name);
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(page)?;
    }
    // Of what stands below the help, every line is one: examples are not to be filled into paragraphs.
    if let Some(text) = command.get_after_help() {
        writeln!(page, ".SH NOTES\n.nf")?;
        for line in text.to_string().lines() {
            writeln!(page, "{}", plain(line))?;
        }
        writeln!(page, ".fi")?;
    }
    Ok(())
}

/// A line that roff takes for nothing but text.
fn plain(line: &str) -> String {
    // `\&` is nothing: before it a dot or quote would be a request.
    format!(
        r"\&{}",
        line.replace('\\', r"\e")
            .replace('-', r"\-")
            .replace('\'', r"\(aq")
    )
}
