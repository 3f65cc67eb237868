//! A host of the test's own: a network namespace with a way out, a state directory, and the built programs.
//!
//! ```text
//!   outside namespace ── veth ── host namespace: pitwall up, pwctl, ssh, pwbr0, VMs
//!   198.51.100.1                 198.51.100.2 (default route)
//! ```
//!
//! Nothing of it touches the machine's own network. Everything is removed when the value is dropped, and only
//! processes whose command line names the test's own directory are ended.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Longer than a boot under software emulation on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) struct Host {
    pub(crate) namespace: String,
    pub(crate) outside: String,
    directory: TempDir,
    state: PathBuf,
    program: Option<Child>,
}

impl Host {
    /// A namespace with a way out, and nothing running in it.
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("pw").tempdir().unwrap();
        let state = directory.path().join("state");
        Self::with_state(directory, state)
    }

    /// The same with its state elsewhere, for a test that brings a file system of its own.
    pub(crate) fn with_state(directory: TempDir, state: PathBuf) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "these tests need root: sudo make test"
        );
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("pwt-{}-{number}", std::process::id());
        let outside = format!("{namespace}-out");
        for name in [&namespace, &outside] {
            run("ip", &["netns", "add", name]);
            run("ip", &["-n", name, "link", "set", "lo", "up"]);
        }
        run(
            "ip",
            &[
                "-n", &namespace, "link", "add", "out0", "type", "veth", "peer", "name", "in0", "netns",
                &outside,
            ],
        );
        for (name, link, address) in [
            (&namespace, "out0", "198.51.100.2/24"),
            (&outside, "in0", "198.51.100.1/24"),
        ] {
            run("ip", &["-n", name, "addr", "add", address, "dev", link]);
            run("ip", &["-n", name, "link", "set", link, "up"]);
        }
        run(
            "ip",
            &["-n", &namespace, "route", "add", "default", "via", "198.51.100.1"],
        );
        fs::create_dir_all(&state).unwrap();
        run(
            "ssh-keygen",
            &[
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-f",
                &state.join("id_pitwall").display().to_string(),
            ],
        );
        Self {
            namespace,
            outside,
            directory,
            state,
            program: None,
        }
    }

    /// A host with pitwall up.
    pub(crate) fn up() -> Self {
        let mut host = Self::new();
        host.start(&["up"]);
        host.wait_until_up();
        host
    }

    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// The test's own directory, with all of this host's.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn run_directory(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// A command in the host's namespace.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]);
        command
            .env("PITWALL_STATE", &self.state)
            .env("XDG_CONFIG_HOME", self.directory.path().join("config"))
            .env_remove("PITWALL_TOKEN")
            .env_remove("PITWALL_URL")
            .env("PITWALL_CONTEXT", "local");
        command
    }

    /// A command of pitwall with this host's settings.
    pub(crate) fn pitwall(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_pitwall"));
        command.args(arguments);
        command
            .arg("--state")
            .arg(&self.state)
            .arg("--run")
            .arg(self.run_directory());
        command
            .arg("--bundle")
            .arg(bundle())
            .env("PITWALL_LOG", "info,orchestrator=debug");
        command
    }

    /// Starts a role of pitwall in the background.
    pub(crate) fn start(&mut self, arguments: &[&str]) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        let mut command = self.pitwall(arguments);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.program = Some(command.spawn().unwrap());
    }

    pub(crate) fn wait_until_up(&mut self) {
        self.wait_until_it_answers("http://127.0.0.1:7480/healthz");
    }

    /// Waits until this is answered well, whoever vouches for it.
    pub(crate) fn wait_until_it_answers(&mut self, url: &str) {
        until("the API answers", Duration::from_secs(60), || {
            if let Some(ended) = self
                .program
                .as_mut()
                .and_then(|program| program.try_wait().unwrap())
            {
                panic!(
                    "pitwall ended with {ended}:\n{}",
                    fs::read_to_string(self.log()).unwrap_or_default()
                );
            }
            let curl = self.command("curl").args(["-sfk", url]).output().unwrap();
            curl.status.success().then_some(())
        });
    }

    /// Ends pitwall as an impatient kernel would.
    pub(crate) fn kill(&mut self) {
        let mut program = self.program.take().unwrap();
        program.kill().unwrap();
        program.wait().unwrap();
    }

    /// Ends pitwall as a service manager would.
    pub(crate) fn terminate(&mut self) {
        let mut program = self.program.take().unwrap();
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(i32::try_from(program.id()).unwrap()),
            nix::sys::signal::Signal::SIGTERM,
        )
        .unwrap();
        until("pitwall ends", Duration::from_secs(30), || {
            program.try_wait().unwrap()
        });
    }

    /// `pwctl`, to be run.
    pub(crate) fn pwctl_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&built("pwctl"));
        command.args(arguments);
        command
    }

    /// `pwctl` with what it printed.
    pub(crate) fn pwctl(&self, arguments: &[&str]) -> Output {
        self.pwctl_command(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// `pwctl` that must succeed; gives its standard output.
    pub(crate) fn pwctl_ok(&self, arguments: &[&str]) -> String {
        let output = self.pwctl(arguments);
        assert!(
            output.status.success(),
            "pwctl {arguments:?}: {}\n{}",
            text(&output),
            self.log_tail()
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// The interfaces of the host's namespace that pitwall made.
    pub(crate) fn links(&self) -> Vec<String> {
        let output = run("ip", &["-n", &self.namespace, "-o", "link"]);
        let names = output
            .lines()
            .filter_map(|line| Some(line.split(": ").nth(1)?.split('@').next()?.to_owned()));
        names.filter(|name| name.starts_with("pw")).collect()
    }

    pub(crate) fn ruleset(&self) -> String {
        let output = self.command("nft").args(["list", "ruleset"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the last lines of pitwall's log:\n{}", self.log_tail());
            eprintln!("the firewall:\n{}", self.ruleset());
            for words in [["ip", "neigh"], ["ip", "-d"], ["bridge", "fdb"]] {
                let mut command = self.command(words[0]);
                command.args(&words[1..]);
                if words[1] == "-d" {
                    command.arg("link");
                }
                eprintln!(
                    "{words:?}: {}",
                    command.output().map(|output| text(&output)).unwrap_or_default()
                );
            }
        }
        if let Some(mut program) = self.program.take() {
            let _ = program.kill();
            let _ = program.wait();
        }
        for pid in self.vmms() {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        for name in [&self.namespace, &self.outside] {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

/// Looks again and again until something is there.
pub(crate) fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A program that must succeed; gives its standard output.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        text(&output)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

pub(crate) fn field(value: &Value, name: &str) -> String {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} is no text in {value}"))
        .to_owned()
}

pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

pub(crate) fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target")
        .canonicalize()
        .unwrap()
}

pub(crate) fn bundle() -> PathBuf {
    let bundle = target().join("bundle");
    assert!(
        bundle.join("vmlinux").exists(),
        "there is no guest kernel; make it with: make bundle"
    );
    bundle
}

/// The reference of the small Debian image.
pub(crate) fn debian() -> String {
    layout("debian", "make image")
}

/// That of the one with the commands of an init.
pub(crate) fn debian_with(init: &str) -> String {
    layout(&format!("debian-{init}"), &format!("scripts/debian-image {init}"))
}

fn layout(name: &str, how: &str) -> String {
    let layout = target().join("images").join(name);
    assert!(
        layout.join("index.json").exists(),
        "there is no image {name}; make it with: {how}"
    );
    format!("oci:{}:latest", layout.display())
}

/// A program that was built beside pitwall.
pub(crate) fn built(name: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_pitwall")).with_file_name(name);
    assert!(
        program.exists(),
        "{name} was not built; build it with: cargo build --workspace"
    );
    program.display().to_string()
}

pub(crate) fn processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}
