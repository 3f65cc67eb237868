//! powerunit's SSH server against Debian's, in turns and by the same client: the same work, twice, pair after pair.
//!
//! ```text
//!   cargo bench -p powerunit                           both on loopback
//!   OURS=HOST:PORT PEER=HOST:PORT LOGIN=root KEY=FILE cargo bench -p powerunit
//! ```
//!
//! `PAIRS` says how often (3), `ONLY` which of them, by a word of its name, and `POWERUNIT` which program to start on
//! loopback: the one in the initramfs is built for size, cargo's own is not. With `COLD` nothing is done once before, uncounted. With `JSON` each line is an object with all
//! samples in seconds, for `make bench-vm`. A ratio of 1 means as fast as the peer, more means faster; the promise is 0.8 for each.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its figures"
)]

mod peers;
mod work;

use std::process::Command;
use std::time::Duration;

use peers::Peers;
use work::WORKS;

fn main() {
    // Cargo starts benchmarks also to test them.
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    let peers = Peers::find();
    let pairs: usize = std::env::var("PAIRS").map_or(3, |text| text.parse().unwrap());
    let print = if std::env::var_os("JSON").is_some() {
        print_json
    } else {
        print
    };
    let first = usize::from(std::env::var_os("COLD").is_some());
    let only = std::env::var("ONLY").unwrap_or_default();
    for (name, work) in WORKS {
        if !name.contains(&only) {
            continue;
        }
        let mut samples = (Vec::new(), Vec::new());
        for pair in first..=pairs {
            let (ours, peer) = (work(&peers.ours), work(&peers.peer));
            // The first fills the caches.
            if pair > 0 {
                samples.0.push(ours);
                samples.1.push(peer);
            }
        }
        print(name, &samples.0, &samples.1);
    }
}

fn print_json(name: &str, ours: &[Duration], peer: &[Duration]) {
    let seconds = |times: &[Duration]| -> Vec<f64> { times.iter().map(Duration::as_secs_f64).collect() };
    println!(
        "{{\"work\": {name:?}, \"ours\": {:?}, \"peer\": {:?}}}",
        seconds(ours),
        seconds(peer)
    );
}

fn print(name: &str, ours: &[Duration], peer: &[Duration]) {
    let ratios: Vec<f64> = std::iter::zip(ours, peer)
        .map(|(ours, peer)| peer.as_secs_f64() / ours.as_secs_f64())
        .collect();
    let seconds = |times: &[Duration]| spread(times.iter().map(Duration::as_secs_f64).collect(), 1000.0);
    println!(
        "{name:<28} ours {} ms   peer {} ms   ratio {}",
        seconds(ours),
        seconds(peer),
        spread(ratios, 1.0)
    );
}

/// The middle and the ends.
fn spread(mut samples: Vec<f64>, scale: f64) -> String {
    samples.sort_by(f64::total_cmp);
    let at = |index: usize| samples[index] * scale;
    let last = samples.len() - 1;
    format!("{:.2} [{:.2} – {:.2}]", at(last / 2), at(0), at(last))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
}
