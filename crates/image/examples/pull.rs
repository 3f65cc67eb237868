//! Pulls an image into a cache and says what it cost: `cargo run -p image --example pull -- REFERENCE CACHE`.

use std::process::ExitCode;
use std::time::Instant;

use image::{Config, Images, PullEvent};
use model::ImageRef;

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example talks to its terminal"
)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [reference, cache] = arguments.as_slice() else {
        eprintln!("usage: pull REFERENCE CACHE");
        return ExitCode::from(2);
    };
    match pull(reference, cache) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn pull(reference: &str, cache: &str) -> Result<String, String> {
    let reference: ImageRef = reference.parse().map_err(|error| format!("{error}"))?;
    let images = Images::open(Config::new(cache)).map_err(|error| format!("{error}"))?;
    let started = Instant::now();
    let image = images.pull(&reference, &show).await.map_err(|error| {
        let reason = error.reason();
        format!("{reason}\n{}", reason.hint)
    })?;
    let wall = started.elapsed().as_secs_f64();
    let mut report = format!(
        "{}\nwall {wall:.2} s, CPU {:.2} s",
        image.digest,
        cpu_seconds().unwrap_or(f64::NAN)
    );
    for disk in &image.disks {
        report += &format!("\n{:?} {} {}", disk.kind, disk.size.bytes(), disk.path.display());
    }
    Ok(report)
}

#[expect(clippy::print_stderr, reason = "an example talks to its terminal")]
fn show(event: PullEvent) {
    eprintln!("{event:?}");
}

/// What this process has used so far (proc_pid_stat(5), fields 14 and 15, in ticks of 10 ms).
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}
