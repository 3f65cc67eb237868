use clap::{Args, ValueEnum};
use clap_complete::env::Shells;

use crate::failure::Failure;
use crate::output::print;

/// Set by the shell that asks what it could offer.
pub(crate) const VARIABLE: &str = "COMPLETE";

#[derive(Debug, Args)]
#[command(after_help = "\
make install puts it where the shells look by themselves. Elsewhere:
  bash  source <(pwctl completion bash)
  zsh   source <(pwctl completion zsh)
  fish  pwctl completion fish | source

Example:
  pwctl completion bash")]
pub(crate) struct Completion {
    /// The shell
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completion {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let name = match self.shell {
            Shell::Bash => "bash",
            Shell::Zsh => "zsh",
            Shell::Fish => "fish",
        };
        let mut script = Vec::new();
        if let Some(shell) = Shells::builtins().completer(name) {
            // By its name: the script outlives the place where pwctl lies now.
            shell
                .write_registration(VARIABLE, "pwctl", "pwctl", "pwctl", &mut script)
                .map_err(|source| Failure::Output { source })?;
        }
        print(&String::from_utf8_lossy(&script))
    }
}
