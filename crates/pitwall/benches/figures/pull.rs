//! The pull of the Debian image from Debian's `docker-registry` over loopback into an empty cache.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::host::{Host, debian, output, run, target, until};
use crate::measure::{Figure, Unit};
use crate::process::CpuTime;
use crate::runs;

const ADDRESS: &str = "127.0.0.1:5000";

pub(crate) fn measure() -> Result<Vec<Figure>, BenchError> {
    let host = Host::new()?;
    let _registry = Registry::with_debian(&host)?;
    let samples = (0..runs("BENCH_PULLS", 5)).map(|number| pull(&host, number));
    let (walls, cpus): (Vec<_>, Vec<_>) = samples.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    Ok(vec![
        Figure::new(
            "pull-wall",
            "the Debian image over loopback, wall",
            Unit::Seconds,
            &walls,
        ),
        Figure::new(
            "pull-cpu",
            "the same, processor time of the puller",
            Unit::Seconds,
            &cpus,
        ),
    ])
}

/// Wall and processor time of one pull.
fn pull(host: &Host, number: u32) -> Result<(f64, f64), BenchError> {
    let cache = host.directory().join(format!("cache-{number}"));
    let mut command = host.command(target().join("release/examples/pull"));
    command.arg(format!("{ADDRESS}/debian:latest")).arg(&cache);
    let cpu = CpuTime::of_commands()?;
    let start = Instant::now();
    run(&mut command)?;
    let wall = start.elapsed().as_secs_f64();
    let cpu = CpuTime::of_commands()? - cpu;
    std::fs::remove_dir_all(&cache).map_err(BenchError::io("remove the cache"))?;
    Ok((wall, cpu))
}

/// A registry that holds the Debian image; it ends with this value.
struct Registry(Child);

impl Registry {
    fn with_debian(host: &Host) -> Result<Self, BenchError> {
        let file = host.directory().join("registry.yml");
        std::fs::write(&file, configuration(host.directory()))
            .map_err(BenchError::io("write the registry's configuration"))?;
        let mut command = host.command("docker-registry");
        command.arg("serve").arg(&file);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let registry = Self(command.spawn().map_err(BenchError::io("start docker-registry"))?);
        until("the registry answers", Duration::from_secs(60), || {
            let mut curl = host.command("curl");
            let curl = output(curl.args(["-sf", &format!("http://{ADDRESS}/v2/")]))?;
            Ok(curl.status.success().then_some(()))
        })?;
        let mut copy = host.command("skopeo");
        copy.args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]);
        run(copy.args([&debian("debian"), &format!("docker://{ADDRESS}/debian:latest")]))?;
        Ok(registry)
    }
}

fn configuration(directory: &Path) -> String {
    format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {ADDRESS}\n",
        directory.join("registry").display()
    )
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
