//! The command line as it is typed.

use std::path::PathBuf;

use clap::{Args, Parser};

use crate::commands::Command;

/// Virtual machines that you can simply ssh into.
#[derive(Debug, Parser)]
#[command(
    name = "pwctl",
    version,
    arg_required_else_help = true,
    propagate_version = false,
    after_help = "\
Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 sign-in, 5 conflict, 6 no room, 7 time-out, 8 unavailable.
In ssh: the remote command's, or 255 when there is no connection. In exec: the command's, or 125.

Example:
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
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// The server's address
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "PITWALL_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:7480"
    )]
    pub(crate) url: String,
    /// Pitwall's state, where the admin token and the made key pair lie
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "PITWALL_STATE",
        hide_env_values = true,
        default_value = "/var/lib/pitwall"
    )]
    pub(crate) state: PathBuf,
    /// Print one JSON document; a failure is one line of JSON on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print results only: no progress, no advice
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
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
        assert_eq!(create.memory.map(api::ByteSize::bytes), Some(512 << 20));
        assert!(parse("1.5G").unwrap_err().to_string().contains("is not a size"));
    }
}
