//! What is measured.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::peers::Server;
use crate::run;

/// A piece of work and the time it took.
pub(crate) type Work = fn(&Server) -> Duration;

pub(crate) const WORKS: [(&str, Work); 5] = [
    ("scp of 200 MB to it", upload),
    ("scp of 200 MB from it", download),
    ("1,000 × true, one master", many),
    ("50 fresh connections", fresh),
    ("a key's echo, median of 300", echo),
];

const LENGTH: usize = 200_000_000;
/// There.
const FILE: &str = "/tmp/bench-against";

impl Server {
    fn options(&self, command: &mut Command) {
        command.args(["-F", "none", "-i"]).arg(&self.key);
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            "LogLevel=ERROR",
        ] {
            command.args(["-o", option]);
        }
    }

    fn ssh(&self, options: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        self.options(&mut command);
        command.args(options).args(["-p", &self.port.to_string()]);
        command.arg(format!("{}@{}", self.login, self.host));
        command
    }

    fn scp(&self) -> Command {
        let mut command = Command::new("scp");
        self.options(&mut command);
        command.args(["-q", "-P", &self.port.to_string()]);
        command
    }

    fn path(&self) -> String {
        format!("{}@{}:{FILE}-{}", self.login, self.host, self.port)
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn upload(server: &Server) -> Duration {
    let file = tempfile::NamedTempFile::new().unwrap();
    let block: Vec<u8> = (0..250_000u32).flat_map(u32::to_le_bytes).collect();
    for _ in 0..LENGTH / block.len() {
        file.as_file().write_all(&block).unwrap();
    }
    timed(|| run(server.scp().arg(file.path()).arg(server.path())))
}

/// After the upload: the file is there.
fn download(server: &Server) -> Duration {
    let file = tempfile::NamedTempFile::new().unwrap();
    timed(|| run(server.scp().arg(server.path()).arg(file.path())))
}

fn many(server: &Server) -> Duration {
    run(server.ssh(&[]).arg(format!("rm -f {FILE}-{}", server.port)));
    let folder = tempfile::tempdir().unwrap();
    let path = format!("ControlPath={}", folder.path().join("master").display());
    // The one that stays must not hold our pipes.
    let mut master = server.ssh(&["-M", "-f", "-N", "-o", &path]);
    let master = master.stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(master.unwrap().success());
    let took = timed(|| {
        for _ in 0..1000 {
            run(server.ssh(&["-o", &path, "-o", "ControlMaster=no"]).arg("true"));
        }
    });
    run(&mut server.ssh(&["-o", &path, "-O", "exit"]));
    took
}

fn fresh(server: &Server) -> Duration {
    timed(|| {
        for _ in 0..50 {
            run(server.ssh(&[]).arg("true"));
        }
    })
}

fn echo(server: &Server) -> Duration {
    let mut child = server
        .ssh(&["-tt"])
        .arg("stty -icanon; echo ready; exec cat >/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut ready = Vec::new();
    while !ready.ends_with(b"ready\r\n") {
        let mut byte = [0; 1];
        stdout.read_exact(&mut byte).unwrap();
        ready.extend(byte);
    }
    let mut times: Vec<Duration> = (0..300)
        .map(|_| {
            timed(|| {
                stdin.write_all(b"x").unwrap();
                stdout.read_exact(&mut [0; 1]).unwrap();
            })
        })
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    times.sort();
    times[times.len() / 2]
}
