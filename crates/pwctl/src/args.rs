//! The command line as it is typed.

use std::path::PathBuf;

use clap::{Args, Parser};

use crate::commands::Command;
use crate::output::Format;

/// Virtual machines that you can simply ssh into.
#[derive(Debug, Parser)]
#[command(
    name = "pwctl",
    version,
    arg_required_else_help = true,
    propagate_version = false,
    after_help = "\
Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 sign-in or right, 5 conflict, 6 quota or capacity, 7 time-out,
8 unavailable. In ssh: the remote command's, or 255 when there is no connection. In exec and run: the command's, or 125.

Examples:
  pwctl create web --image debian:12
  pwctl ssh web -- uname -a"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// The server, by the name that login gave it [env: PITWALL_CONTEXT]
    #[arg(long, global = true, value_name = "NAME", add = crate::complete::contexts())]
    pub(crate) context: Option<String>,
    /// The server, by its address [env: PITWALL_URL] [default: http://127.0.0.1:7480]
    #[arg(long, global = true, value_name = "URL", conflicts_with = "context")]
    pub(crate) url: Option<String>,
    /// Let the token go over plain HTTP to another machine
    #[arg(long, global = true)]
    pub(crate) insecure_http: bool,
    /// Pitwall's state on this machine, where the admin token and the made key pair lie
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "PITWALL_STATE",
        hide_env_values = true,
        default_value = "/var/lib/pitwall"
    )]
    pub(crate) state: PathBuf,
    /// How results are printed: table, wide, name, json or yaml [default: table]
    #[arg(
        long,
        short,
        global = true,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    pub(crate) output: Option<Format>,
    /// The same as -o json; a failure is one line of JSON on stderr
    #[arg(long, global = true, conflicts_with = "output")]
    pub(crate) json: bool,
    /// Print results only: no progress, no advice
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

impl Global {
    /// How results are printed, where that was said.
    pub(crate) const fn format(&self) -> Option<Format> {
        match self.json {
            true => Some(Format::Json),
            false => self.output,
        }
    }
}

/// Whether and how long a command waits.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Waiting {
    /// Return as soon as it is asked for
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Stop waiting after so many seconds; what was asked goes on
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u64,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_remote_command_keeps_its_own_flags() {
        let cli = Cli::try_parse_from(["pwctl", "ssh", "web", "--", "ls", "-l", "--json"]).unwrap();
        let Command::Ssh(ssh) = cli.command else {
            panic!("not ssh")
        };
        assert_eq!(ssh.command, ["ls", "-l", "--json"]);
        assert!(!cli.global.json);
    }

    #[test]
    fn aliases_mean_what_they_mean_elsewhere() {
        assert!(matches!(
            Cli::try_parse_from(["pwctl", "ps"]).unwrap().command,
            Command::Ls(_)
        ));
        assert!(matches!(
            Cli::try_parse_from(["pwctl", "delete", "a", "b"])
                .unwrap()
                .command,
            Command::Rm(_)
        ));
    }

    #[test]
    fn sizes_are_written_as_people_write_them() {
        let parse = |size| Cli::try_parse_from(["pwctl", "create", "web", "--image", "x", "--memory", size]);
        let Command::Create(create) = parse("512M").unwrap().command else {
            panic!("not create")
        };
        assert_eq!(create.machine.memory.map(api::ByteSize::bytes), Some(512 << 20));
        assert!(parse("1.5G").unwrap_err().to_string().contains("is not a size"));
    }
}
