//! What the guest's init costs: its program, its two processes in an idle VM, and connections that wait.
//!
//! The guest is looked into over pitwall's own channel, so that no SSH connection is in the way.

use std::process::Command;

use crate::boot::line;
use crate::error::BenchError;
use crate::host::{Host, output, run, target};
use crate::measure::{Figure, Unit};
use crate::process::Memory;

/// Prints the memory of PID 1, an empty line, and that of the SSH server, its child.
const LOOK: &str = "cat /proc/1/smaps_rollup; echo; cat /proc/$(pgrep -o -x powerunit-ssh)/smaps_rollup";

/// Both give back what only their start needed when they have been idle for ten seconds.
const IDLE: &str = "sleep 12; ";

/// How many connections wait.
const WAITING: u32 = 20;

pub(crate) fn measure() -> Result<Vec<Figure>, BenchError> {
    let host = Host::up()?;
    let name = host.vm_name("powerunit");
    host.create(&name)?;
    let (init, server) = look(&host, &name, IDLE)?;
    // The first fills what the server keeps for all of them.
    drop(Waiting::open(&host, &name, 1)?);
    let (_, before) = look(&host, &name, "")?;
    let waiting = Waiting::open(&host, &name, WAITING)?;
    let (_, with_them) = look(&host, &name, "")?;
    drop(waiting);
    let each = (with_them.resident - before.resident) / f64::from(WAITING);
    let figure = |name, what, kib| Figure::new(name, what, Unit::Kibibytes, &[kib]);
    Ok(vec![
        // 4 MB.
        figure("powerunit-size", "the program in the initramfs", size()?).at_most(4e6 / 1024.0),
        figure("powerunit-rss", "PID 1 of an idle VM, resident", init.resident),
        figure("powerunit-anon", "the same, its own pages", init.anonymous),
        figure("powerunit-ssh-rss", "its SSH server, resident", server.resident),
        figure("powerunit-ssh-anon", "the same, its own pages", server.anonymous),
        figure(
            "powerunit-both-rss",
            "both, resident: what they share counts twice",
            init.resident + server.resident,
        )
        .at_most(4e6 / 1024.0),
        figure(
            "powerunit-pss",
            "both, proportional: what they share counts once",
            init.proportional + server.proportional,
        ),
        figure("powerunit-waiting", "for each of 20 connections that wait", each).at_most(64.0),
    ])
}

fn look(host: &Host, name: &str, before: &str) -> Result<(Memory, Memory), BenchError> {
    let text = host.pwctl(&["exec", name, "--", "sh", "-c", &format!("{before}{LOOK}")])?;
    let (init, server) = text
        .split_once("\n\n")
        .ok_or_else(|| BenchError::unreadable("smaps_rollup", text.clone()))?;
    Ok((Memory::parse(init)?, Memory::parse(server)?))
}

/// Connections that are logged in and do nothing; they end with this value.
struct Waiting<'a> {
    host: &'a Host,
    line: String,
    number: u32,
}

impl<'a> Waiting<'a> {
    fn open(host: &'a Host, name: &str, number: u32) -> Result<Self, BenchError> {
        let line = line(host, name)?;
        let mut waiting = Self {
            host,
            line,
            number: 0,
        };
        for number in 0..number {
            // It goes to the background when it is logged in. What stays there must not hold our pipes.
            let mut ssh = waiting.ssh(number, "-f -N -M >/dev/null 2>&1");
            run(&mut ssh)?;
            waiting.number = number + 1;
        }
        Ok(waiting)
    }

    fn ssh(&self, number: u32, options: &str) -> Command {
        let socket = self.host.directory().join(format!("waiting-{number}"));
        let line = format!("exec {} -S {} {options}", self.line.trim(), socket.display());
        let mut shell = self.host.command("bash");
        shell.args(["-c", &line]);
        shell
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        for number in 0..self.number {
            let _ = output(&mut self.ssh(number, "-O exit"));
        }
    }
}

/// In KiB, as the bundle says.
fn size() -> Result<f64, BenchError> {
    let path = target().join("bundle/bundle.json");
    let text = std::fs::read_to_string(path).map_err(BenchError::io("read the bundle's description"))?;
    let bundle: serde_json::Value =
        serde_json::from_str(&text).map_err(|_| BenchError::unreadable("bundle.json", text.clone()))?;
    let bytes = bundle["powerunit"]["bytes"].as_f64();
    bytes
        .map(|bytes| bytes / 1024.0)
        .ok_or_else(|| BenchError::unreadable("bundle.json", text))
}
