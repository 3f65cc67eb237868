//! powerunit's SSH server against Debian's `sshd`, in one guest, by one client, in turns.
//!
//! The work is that of the bench `against` of the crate `powerunit`, which is told two ports of one VM: ours, and 22, where
//! the `sshd` of the image `debian-sshd` listens with its defaults.

use std::path::PathBuf;

use serde::Deserialize;

use crate::boot::line;
use crate::error::BenchError;
use crate::host::{Host, debian, run};
use crate::measure::{Figure, Unit};
use crate::runs;

/// Lets root log in with the key that stands in for `KEY`.
const START: &str = "umask 077; mkdir -p /run/sshd /root/.ssh && echo 'KEY' >/root/.ssh/authorized_keys && \
     /usr/sbin/sshd";

/// As fast as 0.8 of the peer is to take 1/0.8 of its time.
const AT_MOST: f64 = 1.25;

/// What each work is called there and here.
const WORKS: [(&str, &str, &str); 5] = [
    (
        "scp of 200 MB to it",
        "sshd-scp-to",
        "scp of 200 MB into the guest",
    ),
    (
        "scp of 200 MB from it",
        "sshd-scp-from",
        "scp of 200 MB out of the guest",
    ),
    (
        "1,000 × true, one master",
        "sshd-many",
        "1,000 × ssh true over one connection",
    ),
    (
        "50 fresh connections",
        "sshd-fresh",
        "50 × ssh true, each its own connection",
    ),
    (
        "a key's echo, median of 300",
        "sshd-echo",
        "a key typed at a terminal until it comes back, median of 300",
    ),
];

/// What `against` prints of a work; times in seconds.
#[derive(Debug, Deserialize)]
struct Samples {
    work: String,
    ours: Vec<f64>,
    peer: Vec<f64>,
}

pub(crate) fn measure() -> Result<Vec<Figure>, BenchError> {
    let against = std::env::var_os("BENCH_AGAINST").map(PathBuf::from);
    let against = against.ok_or_else(|| BenchError::unreadable("BENCH_AGAINST", "it is not set"))?;
    let host = Host::up()?;
    let name = host.vm_name("sshd");
    host.create_of(&name, &debian("debian-sshd"))?;
    let line = line(&host, &name)?;
    let address = line.trim().rsplit_once('@').map(|(_, address)| address);
    let address = address.ok_or_else(|| BenchError::unreadable("the ssh command", line.clone()))?;
    let key = host.state().join("id_pitwall");
    let public = std::fs::read_to_string(key.with_extension("pub"));
    let public = public.map_err(BenchError::io("read the public key"))?;
    run(&mut host.ssh(&line, &START.replace("KEY", public.trim())))?;
    let mut command = host.command(against);
    command
        .arg("--bench")
        .env("OURS", format!("{address}:2222"))
        .env("PEER", format!("{address}:22"))
        .env("LOGIN", "root")
        .env("KEY", &key)
        .env("JSON", "1")
        .env("COLD", "1")
        .env("PAIRS", runs("BENCH_SSH_PAIRS", 1).to_string());
    let text = run(&mut command)?;
    text.lines().map(figure).collect()
}

fn figure(line: &str) -> Result<Figure, BenchError> {
    let unreadable = || BenchError::unreadable("what the bench against prints", line);
    let samples: Samples = serde_json::from_str(line).map_err(|_| unreadable())?;
    let (_, name, what) = WORKS
        .iter()
        .find(|(work, _, _)| *work == samples.work)
        .ok_or_else(unreadable)?;
    let pairs: Vec<(f64, f64)> = std::iter::zip(&samples.ours, &samples.peer)
        .map(|(ours, peer)| (ours * 1000.0, peer * 1000.0))
        .collect();
    let ours: Vec<f64> = pairs.iter().map(|pair| pair.0).collect();
    Ok(Figure::new(name, what, Unit::Milliseconds, &ours)
        .at_most(AT_MOST)
        .against("sshd", &pairs))
}
