//! A host of the bench's own, so that nothing of the machine's is touched.
//!
//! ```text
//!   NAME-out ──── veth ──── NAME: pitwall up, docker-registry, pwbr0, VMs
//!   198.51.100.1            198.51.100.2 (default route)
//! ```
//!
//! State, run-time files and log lie in a temporary directory. Whatever ends the bench but SIGKILL, dropping this
//! value ends pitwall and its VMs and removes all of it.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::error::BenchError;
use crate::process;

/// Set when a person presses Ctrl-C: what waits gives up.
pub(crate) static INTERRUPTED: AtomicBool = AtomicBool::new(false);

static NUMBER: AtomicU32 = AtomicU32::new(0);

const PROGRAM: &str = env!("CARGO_BIN_EXE_pitwall");

/// A host of the bench's own.
pub(crate) struct Host {
    namespace: String,
    directory: TempDir,
    program: Option<Child>,
}

impl Host {
    /// With a network, and nothing running.
    pub(crate) fn new() -> Result<Self, BenchError> {
        let directory = tempfile::Builder::new().prefix("pwbench").tempdir();
        let directory = directory.map_err(BenchError::io("make a temporary directory"))?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let host = Self {
            namespace: format!("pwb-{}-{number}", std::process::id()),
            directory,
            program: None,
        };
        std::fs::create_dir_all(host.state()).map_err(BenchError::io("make the state directory"))?;
        host.make_network()?;
        run(Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(host.state().join("id_pitwall")))?;
        Ok(host)
    }

    /// With pitwall up.
    pub(crate) fn up() -> Result<Self, BenchError> {
        Self::up_logging("info")
    }

    /// With pitwall up, and this filter of its log.
    pub(crate) fn up_logging(filter: &str) -> Result<Self, BenchError> {
        let mut host = Self::new()?;
        let file = File::create(host.log_file()).map_err(BenchError::io("make the log"))?;
        let mut command = host.pitwall(&["up", "--log", filter]);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            // Ctrl-C is for the bench, which then ends this in order.
            .process_group(0)
            .spawn();
        host.program = Some(child.map_err(BenchError::io("start pitwall"))?);
        until("pitwall answers", Duration::from_secs(60), || host.answers())?;
        Ok(host)
    }

    fn make_network(&self) -> Result<(), BenchError> {
        let (inside, outside) = (&self.namespace, &format!("{}-out", self.namespace));
        for name in [inside, outside] {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        ip(&[
            "-n", inside, "link", "add", "out0", "type", "veth", "peer", "name", "in0", "netns", outside,
        ])?;
        for (name, link, address) in [
            (inside, "out0", "198.51.100.2/24"),
            (outside, "in0", "198.51.100.1/24"),
        ] {
            ip(&["-n", name, "addr", "add", address, "dev", link])?;
            ip(&["-n", name, "link", "set", link, "up"])?;
        }
        ip(&["-n", inside, "route", "add", "default", "via", "198.51.100.1"])
    }

    fn answers(&self) -> Result<Option<()>, BenchError> {
        let mut curl = self.command("curl");
        curl.args(["-sf", "http://127.0.0.1:7480/healthz"]);
        Ok(output(&mut curl)?.status.success().then_some(()))
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The name of a VM that no other host on this machine has.
    pub(crate) fn vm_name(&self, number: impl std::fmt::Display) -> String {
        format!("{}-{number}", self.namespace)
    }

    /// What pitwall logged.
    pub(crate) fn log(&self) -> Result<String, BenchError> {
        std::fs::read_to_string(self.log_file()).map_err(BenchError::io("read pitwall's log"))
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// The process of `pitwall up`.
    pub(crate) fn pitwall_pid(&self) -> u32 {
        self.program.as_ref().map_or(0, Child::id)
    }

    /// A command in the host's network.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.namespace))
            .arg(program);
        command
            .env("PITWALL_STATE", self.state())
            .env_remove("PITWALL_TOKEN")
            .env_remove("PITWALL_URL");
        command
    }

    /// A command of pitwall with this host's settings. It sees this host's `/sys` too.
    pub(crate) fn pitwall(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace, PROGRAM])
            .args(arguments);
        command.arg("--state").arg(self.state());
        command.arg("--run").arg(self.directory.path().join("run"));
        command.arg("--bundle").arg(target().join("bundle"));
        command
    }

    /// A script of the project with this host's settings.
    pub(crate) fn script(&self, name: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .arg(project().join("scripts").join(name));
        command
            .env("STATE", self.state())
            .env("RUN", self.directory.path().join("run"))
            .env("LISTEN", "127.0.0.1:7480")
            .env("NAME", "dev")
            .env("IMAGE", "");
        command
    }

    /// `pwctl`, which must succeed; gives what it printed.
    pub(crate) fn pwctl(&self, arguments: &[&str]) -> Result<String, BenchError> {
        run(self
            .command(Path::new(PROGRAM).with_file_name("pwctl"))
            .args(arguments))
    }

    /// A VM of the Debian image, waited for.
    pub(crate) fn create(&self, name: &str) -> Result<(), BenchError> {
        self.create_of(name, &debian("debian"))
    }

    /// A VM of an image, waited for.
    pub(crate) fn create_of(&self, name: &str, image: &str) -> Result<(), BenchError> {
        self.pwctl(&["create", name, "--image", image, "--quiet"])
            .map(drop)
    }

    /// The line that people paste, with a command behind it.
    pub(crate) fn ssh(&self, line: &str, command: &str) -> Command {
        let mut shell = self.command("bash");
        shell.args([
            "-c",
            &format!("exec {} '{}'", line.trim(), command.replace('\'', r"'\''")),
        ]);
        shell
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let ours = self.directory.path().display().to_string();
        if let Some(mut program) = self.program.take() {
            let _ = program.kill();
            let _ = program.wait();
        }
        // The VMs that it left running, and a pitwall that a script started.
        for pid in process::all().unwrap_or_default() {
            if process::arguments(pid).is_some_and(|words| words.iter().any(|word| word.contains(&ours)))
                && let Ok(pid) = i32::try_from(pid)
            {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        for name in [&self.namespace, &format!("{}-out", self.namespace)] {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

/// Looks again and again until something is there.
pub(crate) fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>, BenchError>,
) -> Result<T, BenchError> {
    let deadline = Instant::now() + limit;
    loop {
        if INTERRUPTED.load(Ordering::Relaxed) {
            return Err(BenchError::Interrupted);
        }
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            return Err(BenchError::Late {
                what: what.to_owned(),
                limit,
            });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A command's end, whatever it is.
pub(crate) fn output(command: &mut Command) -> Result<Output, BenchError> {
    let name = command.get_program().display().to_string();
    command
        .stdin(Stdio::null())
        .output()
        .map_err(BenchError::io(format!("start {name}")))
}

/// A command that must succeed; gives its standard output.
pub(crate) fn run(command: &mut Command) -> Result<String, BenchError> {
    let output = output(command)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .collect();
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    Err(BenchError::failed(words.join(" "), &output))
}

pub(crate) fn ip(arguments: &[&str]) -> Result<(), BenchError> {
    run(Command::new("ip").args(arguments)).map(drop)
}

pub(crate) fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn target() -> PathBuf {
    let target = project().join("target");
    target.canonicalize().unwrap_or(target)
}

/// The reference of an image that `scripts/debian-image` makes.
pub(crate) fn debian(layout: &str) -> String {
    format!("oci:{}:latest", target().join("images").join(layout).display())
}
