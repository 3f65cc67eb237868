use std::collections::BTreeMap;
use std::io::IsTerminal;

use api::frame::End;
use api::{CreateExec, Terminal};
use clap::Args;

use crate::args::Global;
use crate::complete;
use crate::connect::connect;
use crate::failure::Failure;
use crate::session::{self, Ended, Setup, Stdin};
use crate::terminal;

/// How `pwctl exec` ends when it is pwctl that failed, as docker and podman do.
pub(crate) const OWN_FAILURE: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// Above it, the number of a signal.
pub(crate) const BY_SIGNAL: u8 = 128;
const SIGPIPE: u8 = 13;

/// What a terminal is taken for that does not tell its size.
const USUAL_SIZE: (u16, u16) = (80, 24);

#[derive(Debug, Args)]
#[command(after_help = "\
The command runs over pitwall's own channel, without SSH. On a terminal it gets one too, and what is typed.
The exit status is the command's; 125 when pwctl failed, 126 when it cannot be run, 127 when there is none,
128 and the number of the signal that ended it.

Examples:
  pwctl exec web
  pwctl exec web -u postgres -- psql -c 'select 1'
  pwctl exec -i web -- tar x -C /srv < files.tar")]
pub(crate) struct Exec {
    /// Name or id
    #[arg(add = complete::vms())]
    vm: String,
    #[command(flatten)]
    pub(crate) program: Program,
}

/// A command and how it takes part here.
#[derive(Debug, Args)]
pub(crate) struct Program {
    /// Pass standard input on
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// Who it runs as: USER, UID, USER:GROUP or UID:GID [default: the image's]
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Where it starts [default: the image's working directory]
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// A variable of its environment, or the name of one that is passed on; repeatable
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// The command and its arguments [default: /bin/sh]
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

impl Exec {
    /// Gives the exit status.
    pub(crate) async fn run(self, global: &Global) -> Result<u8, Failure> {
        let setup = self.program.setup();
        let wish = self.program.wish(setup.tty)?;
        let stream = connect(global)?.vm_exec(&self.vm, &wish).await?;
        status(session::run(stream, setup).await?)
    }
}

impl Program {
    /// How this terminal, or these pipes, take part.
    pub(crate) fn setup(&self) -> Setup {
        let setup = self.setup_on(terminal::is_interactive());
        let raw = setup.tty && setup.input == Stdin::Passed && std::io::stdin().is_terminal();
        Setup {
            raw,
            signals: !raw,
            ..setup
        }
    }

    /// As docker: `-i` and `-t` say what takes part; where neither is given, being on a terminal does.
    const fn setup_on(&self, on_terminal: bool) -> Setup {
        let by_terminal = on_terminal && !self.interactive && !self.tty;
        let tty = self.tty || by_terminal;
        let input = match (self.interactive || by_terminal, tty) {
            (true, _) => Stdin::Passed,
            (false, true) => Stdin::Unsaid,
            (false, false) => Stdin::Empty,
        };
        Setup {
            input,
            tty,
            raw: false,
            signals: true,
            escapes: false,
            impatient: false,
        }
    }

    /// What the server is asked for.
    pub(crate) fn wish(&self, tty: bool) -> Result<CreateExec, Failure> {
        let shell = || vec!["/bin/sh".to_owned()];
        let (columns, rows) = terminal::size().unwrap_or(USUAL_SIZE);
        Ok(CreateExec {
            command: Some(self.command.clone())
                .filter(|command| !command.is_empty())
                .unwrap_or_else(shell),
            env: environment(&self.env),
            working_dir: self.workdir.clone(),
            user: self.user.clone(),
            terminal: tty.then(|| Terminal {
                columns,
                rows,
                term: std::env::var("TERM").ok().filter(|term| !term.is_empty()),
            }),
        })
    }
}

/// A bare name is passed on, where it is set here.
fn environment(given: &[String]) -> BTreeMap<String, String> {
    let variable = |given: &String| match given.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((given.clone(), std::env::var(given).ok()?)),
    };
    given.iter().filter_map(variable).collect()
}

/// The exit status that says how the command ended.
pub(crate) fn status(ended: Ended) -> Result<u8, Failure> {
    match ended {
        Ended::Stream(End::Exited(code)) => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
        Ended::Stream(End::Killed(signal)) | Ended::Signalled(signal) => Ok(by_signal(signal)),
        Ended::Stream(End::Done) | Ended::Left => Ok(0),
        Ended::Unread => Ok(BY_SIGNAL + SIGPIPE),
        Ended::Stream(End::Failed { code, message }) => {
            let status = match code.as_str() {
                "not_found" => NOT_FOUND,
                "not_permitted" => NOT_EXECUTABLE,
                _ => OWN_FAILURE,
            };
            Err(Failure::Stream {
                code,
                message,
                status,
            })
        }
    }
}

pub(crate) fn by_signal(signal: i32) -> u8 {
    BY_SIGNAL.saturating_add(u8::try_from(signal).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;
    use crate::commands::Command;

    fn parsed(words: &[&str]) -> Exec {
        let cli = Cli::try_parse_from([&["pwctl", "exec", "web"], words].concat()).unwrap();
        let Command::Exec(exec) = cli.command else {
            panic!("not exec")
        };
        exec
    }

    #[test]
    fn what_takes_part_is_as_in_docker() {
        for (words, on_terminal, input, tty) in [
            (&[][..], true, Stdin::Passed, true),
            (&[], false, Stdin::Empty, false),
            (&["-i"], true, Stdin::Passed, false),
            (&["-i"], false, Stdin::Passed, false),
            (&["-t"], false, Stdin::Unsaid, true),
            (&["-it"], false, Stdin::Passed, true),
        ] {
            let setup = parsed(words).program.setup_on(on_terminal);
            assert_eq!((setup.input, setup.tty), (input, tty), "{words:?} {on_terminal}");
        }
    }

    #[test]
    fn a_command_keeps_its_own_flags_and_variables_their_values() {
        let exec = parsed(&[
            "-e",
            "A=b=c",
            "-e",
            "NOT_SET_ANYWHERE",
            "-w",
            "/srv",
            "--",
            "ls",
            "-l",
            "--json",
        ]);
        let wish = exec.program.wish(false).unwrap();
        assert_eq!(wish.command, ["ls", "-l", "--json"]);
        assert_eq!(wish.env, BTreeMap::from([("A".to_owned(), "b=c".to_owned())]));
        assert_eq!((wish.working_dir.as_deref(), wish.terminal), (Some("/srv"), None));
        assert_eq!(parsed(&[]).program.wish(false).unwrap().command, ["/bin/sh"]);
    }

    #[test]
    fn the_status_is_the_commands() {
        let failed = |code: &str| {
            let end = End::Failed {
                code: code.into(),
                message: "m".into(),
            };
            match status(Ended::Stream(end)) {
                Err(Failure::Stream { status, .. }) => status,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(status(Ended::Stream(End::Exited(37))).unwrap(), 37);
        assert_eq!(status(Ended::Stream(End::Killed(9))).unwrap(), 137);
        assert_eq!(status(Ended::Signalled(15)).unwrap(), 143);
        assert_eq!(status(Ended::Unread).unwrap(), 141);
        assert_eq!(
            ["not_found", "not_permitted", "busy"].map(failed),
            [127, 126, 125]
        );
    }
}
