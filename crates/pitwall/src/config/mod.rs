//! The settings: defaults, then the file, then environment and flags; complete before the first port opens.
//!
//! The defaults are a commented file that is part of the program, so documentation and default cannot differ. All
//! that is wrong is told together, each with its key.

mod door;
mod file;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use control::Retention;
use model::{HostName, Limits, Subnet};
use orchestrator::LogLimits;

pub(crate) use door::DoorSettings;
pub(crate) use file::{Accelerator, Firecracker, LogFormat, Vmm};
use file::{File, FileError, Host};

/// The configuration file that is read unless another is named.
pub(crate) const DEFAULT_FILE: &str = "/etc/pitwall/config.toml";

/// The settings, checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) door: DoorSettings,
    pub(crate) quotas: Limits,
    pub(crate) retention: Retention,
    pub(crate) state: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) log_filter: String,
    pub(crate) log_format: LogFormat,
    pub(crate) host: HostSettings,
    pub(crate) firecracker: Firecracker,
    pub(crate) bridge: String,
    pub(crate) subnet: Subnet,
    pub(crate) outbound: Option<String>,
    pub(crate) resolvers: Vec<Ipv4Addr>,
    pub(crate) insecure_registries: Vec<String>,
}

/// The settings of the host itself.
#[derive(Debug, Clone)]
pub(crate) struct HostSettings {
    pub(crate) name: HostName,
    pub(crate) bundle: Option<PathBuf>,
    pub(crate) driver: Vmm,
    pub(crate) accelerator: Accelerator,
    pub(crate) boot_deadline: Duration,
    pub(crate) max_boots: usize,
    pub(crate) stop_grace: Duration,
    pub(crate) cpu_overcommit: u32,
    pub(crate) disk_overcommit: u64,
    pub(crate) memory_percent: u64,
    pub(crate) log: LogLimits,
    pub(crate) first_owner: u32,
}

/// Settings given by flags or environment; each wins over the files.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Flags {
    /// The configuration file [default: /etc/pitwall/config.toml, if it is there]
    #[arg(long, env = "PITWALL_CONFIG", value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Where the API listens
    #[arg(long, env = "PITWALL_LISTEN", value_name = "ADDRESS:PORT", global = true)]
    pub(crate) listen: Option<String>,
    /// Where Prometheus finds the metrics; empty for nowhere
    #[arg(
        long,
        env = "PITWALL_METRICS_LISTEN",
        value_name = "ADDRESS:PORT",
        global = true
    )]
    pub(crate) metrics_listen: Option<String>,
    /// What must last: database, token, images, disks
    #[arg(long, env = "PITWALL_STATE", value_name = "DIR", global = true)]
    pub(crate) state: Option<PathBuf>,
    /// What a reboot may forget: sockets, process ids, consoles
    #[arg(long, env = "PITWALL_RUN", value_name = "DIR", global = true)]
    pub(crate) run: Option<PathBuf>,
    /// The directory with the guests' kernel and initramfs
    #[arg(long, env = "PITWALL_BUNDLE", value_name = "DIR", global = true)]
    pub(crate) bundle: Option<PathBuf>,
    /// The VMs' subnet
    #[arg(long, env = "PITWALL_SUBNET", value_name = "SUBNET", global = true)]
    pub(crate) subnet: Option<String>,
    /// The bridge that VMs are attached to
    #[arg(long, env = "PITWALL_BRIDGE", value_name = "NAME", global = true)]
    pub(crate) bridge: Option<String>,
    /// The interface to the world
    #[arg(long, env = "PITWALL_OUTBOUND", value_name = "INTERFACE", global = true)]
    pub(crate) outbound: Option<String>,
    /// A name server for VMs (repeatable)
    #[arg(
        long = "resolver",
        env = "PITWALL_RESOLVERS",
        value_name = "ADDRESS",
        value_delimiter = ',',
        global = true
    )]
    pub(crate) resolvers: Vec<String>,
    /// Filter of the log: error, warn, info, debug
    #[arg(long, env = "PITWALL_LOG", value_name = "FILTER", global = true)]
    pub(crate) log: Option<String>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read or parsed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Values that cannot be used; each with its key.
    #[error("the settings cannot be used:\n{}", .0.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"))]
    Values(Vec<String>),
}

impl Settings {
    /// Reads and checks everything.
    pub(crate) fn load(flags: &Flags, machine_name: &str) -> Result<Self, ConfigError> {
        let mut file = File::defaults()?;
        let path = flags.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        if flags.config.is_some() || path.exists() {
            file.overlay(path)?;
        }
        overlay_flags(&mut file, flags);
        check(&file, machine_name)
    }

    /// The file that holds the admin's token.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.state.join("admin.token")
    }

    /// The lock that one running pitwall holds.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.run.join("pitwall.lock")
    }
}

fn overlay_flags(file: &mut File, flags: &Flags) {
    fn set<T: Clone>(to: &mut T, from: Option<&T>) {
        if let Some(value) = from {
            to.clone_from(value);
        }
    }
    set(&mut file.listen, flags.listen.as_ref());
    set(&mut file.metrics_listen, flags.metrics_listen.as_ref());
    set(&mut file.state, flags.state.as_ref());
    set(&mut file.run, flags.run.as_ref());
    set(&mut file.host.bundle, flags.bundle.as_ref());
    set(&mut file.network.subnet, flags.subnet.as_ref());
    set(&mut file.network.bridge, flags.bridge.as_ref());
    set(&mut file.network.outbound, flags.outbound.as_ref());
    set(&mut file.log.filter, flags.log.as_ref());
    if !flags.resolvers.is_empty() {
        file.network.resolvers.clone_from(&flags.resolvers);
    }
}

/// Collects what is wrong instead of stopping at the first.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn take<T, E: std::fmt::Display>(&mut self, key: &str, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.0.push(format!("{key}: {error}"))).ok()
    }

    fn need(&mut self, holds: bool, key: &str, what: &str) {
        if !holds {
            self.0.push(format!("{key}: {what}"));
        }
    }
}

fn check(file: &File, machine_name: &str) -> Result<Settings, ConfigError> {
    let mut faults = Faults::default();
    let listen = faults.take("listen", file.listen.parse::<SocketAddr>());
    let door = door::check(file, listen, &mut faults);
    for (key, path) in [("state", &file.state), ("run", &file.run)] {
        faults.need(path.is_absolute(), key, "must be an absolute path");
    }
    let name = if file.host.name.is_empty() {
        host_name(machine_name)
    } else {
        file.host.name.clone()
    };
    let name = faults.take("host.name", name.parse::<HostName>());
    let subnet = faults.take("network.subnet", file.network.subnet.parse::<Subnet>());
    let bridge = &file.network.bridge;
    faults.need(
        (1..=15).contains(&bridge.len()) && bridge.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
        "network.bridge",
        "must be an interface name of 1 to 15 letters, digits and -",
    );
    let resolvers = file.network.resolvers.iter().map(|text| {
        text.parse::<Ipv4Addr>()
            .map_err(|_| format!("{text:?} is not an IPv4 address"))
    });
    let resolvers = faults.take("network.resolvers", resolvers.collect::<Result<Vec<_>, _>>());
    check_host(&file.host, &mut faults);
    for (key, value) in [
        ("events_keep_days", file.events_keep_days),
        ("events_keep_rows", file.events_keep_rows),
        ("audit_keep_days", file.audit_keep_days),
        ("answers_keep_hours", file.answers_keep_hours),
    ] {
        faults.need(value > 0, key, "must be at least 1");
    }
    let (Some(listen), Some(door)) = (listen, door) else {
        return Err(ConfigError::Values(faults.0));
    };
    let (Some(name), Some(subnet), Some(resolvers)) = (name, subnet, resolvers) else {
        return Err(ConfigError::Values(faults.0));
    };
    if !faults.0.is_empty() {
        return Err(ConfigError::Values(faults.0));
    }
    Ok(Settings {
        listen,
        door,
        quotas: quotas(file),
        retention: retention(file),
        state: file.state.clone(),
        run: file.run.clone(),
        log_filter: file.log.filter.clone(),
        log_format: file.log.format,
        host: host_settings(name, &file.host),
        firecracker: file.firecracker.clone(),
        bridge: bridge.clone(),
        subnet,
        outbound: Some(file.network.outbound.clone()).filter(|name| !name.is_empty()),
        resolvers,
        insecure_registries: file.image.insecure_registries.clone(),
    })
}

/// What numbers and choices of the host are good for.
fn check_host(host: &Host, faults: &mut Faults) {
    faults.need(
        host.cpu_overcommit > 0,
        "host.cpu_overcommit",
        "must be at least 1",
    );
    faults.need(
        host.disk_overcommit > 0,
        "host.disk_overcommit",
        "must be at least 1",
    );
    faults.need(
        (1..=100).contains(&host.memory_percent),
        "host.memory_percent",
        "must be 1 to 100",
    );
    for (key, value) in [
        ("host.log_file_mib", host.log_file_mib),
        ("host.log_files", host.log_files),
    ] {
        faults.need((1..=1024).contains(&value), key, "must be 1 to 1024");
    }
    faults.need(
        host.driver != Vmm::Firecracker || host.accelerator != Accelerator::Tcg,
        "host.accelerator",
        "must be auto or kvm with the driver firecracker, which emulates nothing",
    );
    // Below are people and services, above are numbers that some programs take for negative; a subnet has up to 2^24.
    faults.need(
        (0x1_0000..0x7f00_0000).contains(&host.first_owner),
        "host.first_owner",
        "must be 65536 to 2130706431",
    );
}

/// The quota of those who have none of their own; 0 is any amount.
fn quotas(file: &File) -> Limits {
    let limit = |number: u64| (number > 0).then_some(number);
    let mib = |number: u64| limit(number).map(|number| number.saturating_mul(1 << 20));
    Limits {
        vms: limit(file.quota_vms),
        cpus: limit(file.quota_cpus),
        memory_bytes: mib(file.quota_memory_mib),
        disk_bytes: mib(file.quota_disk_mib),
        running: limit(file.quota_running),
    }
}

fn retention(file: &File) -> Retention {
    let hours = |hours: u64| Duration::from_secs(hours.saturating_mul(60 * 60));
    let days = |days: u64| hours(days.saturating_mul(24));
    Retention {
        events: days(file.events_keep_days),
        event_rows: file.events_keep_rows,
        audit: days(file.audit_keep_days),
        answers: hours(file.answers_keep_hours),
    }
}

fn host_settings(name: HostName, host: &Host) -> HostSettings {
    HostSettings {
        name,
        bundle: Some(host.bundle.clone()).filter(|path| !path.as_os_str().is_empty()),
        driver: host.driver,
        accelerator: host.accelerator,
        boot_deadline: Duration::from_secs(host.boot_deadline_seconds),
        max_boots: max_boots(host.max_boots),
        stop_grace: Duration::from_secs(host.stop_grace_seconds),
        cpu_overcommit: host.cpu_overcommit,
        disk_overcommit: host.disk_overcommit,
        memory_percent: host.memory_percent,
        log: LogLimits {
            file_bytes: host.log_file_mib << 20,
            files: host.log_files,
        },
        first_owner: host.first_owner,
    }
}

/// How many VMs boot at the same time: so many, or as many as there are processors.
fn max_boots(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(2, |processors| processors.get().max(2)),
        asked => asked,
    }
}

/// A machine's name as a DNS label: its first label in lower case, or `host` where nothing usable is left.
fn host_name(machine_name: &str) -> String {
    let label = machine_name
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    if label.parse::<HostName>().is_ok() {
        label
    } else {
        "host".to_owned()
    }
}

/// The defaults, for tests of other rooms.
#[cfg(test)]
pub(crate) fn testing() -> Settings {
    let file = File::defaults().expect("the defaults are a file");
    check(&file, "box").expect("the defaults are good")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, flags: Flags) -> Result<Settings, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Settings::load(
            &Flags {
                config: Some(file.path().to_owned()),
                ..flags
            },
            "Box.example",
        )
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let settings = load("", Flags::default()).unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:7480");
        assert_eq!(settings.state, Path::new("/var/lib/pitwall"));
        assert_eq!(settings.run, Path::new("/run/pitwall"));
        assert_eq!(settings.subnet, Subnet::DEFAULT);
        assert_eq!(settings.host.name.as_str(), "box");
        assert!(settings.host.max_boots >= 2);
        let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
        let kept = Retention {
            events: days(7),
            event_rows: 100_000,
            audit: days(90),
            answers: days(1),
        };
        assert_eq!(settings.retention, kept);
        assert_eq!(settings.retention, Retention::default());
        let metrics = settings.door.metrics_listen.map(|listen| listen.to_string());
        assert_eq!(metrics.as_deref(), Some("127.0.0.1:7481"));
        let rates = settings.door.rates;
        assert_eq!((rates.caller.per_second, rates.caller.burst), (50, 100));
        assert_eq!(rates.address.per_second, 10);
        assert_eq!(settings.token_file(), Path::new("/var/lib/pitwall/admin.token"));
    }

    #[test]
    fn quotas_are_none_until_the_file_says_some() {
        assert_eq!(load("", Flags::default()).unwrap().quotas, Limits::default());
        let text =
            "quota_vms = 3\nquota_cpus = 4\nquota_memory_mib = 5\nquota_disk_mib = 6\nquota_running = 2\n";
        let expected = Limits {
            vms: Some(3),
            cpus: Some(4),
            memory_bytes: Some(5 << 20),
            disk_bytes: Some(6 << 20),
            running: Some(2),
        };
        assert_eq!(load(text, Flags::default()).unwrap().quotas, expected);
    }

    #[test]
    fn flags_win_over_the_file() {
        let flags = Flags {
            listen: Some("127.0.0.1:1".into()),
            ..Flags::default()
        };
        let settings = load("listen = '127.0.0.1:2'\nstate = '/x'\n", flags).unwrap();
        assert_eq!(settings.listen.port(), 1);
        assert_eq!(settings.state, Path::new("/x"));
    }

    #[test]
    fn all_faults_are_told_at_once_with_their_keys() {
        let error = load(
            "listen = '0.0.0.0:1'\nstate = 'x'\n[network]\nsubnet = '1'\n",
            Flags::default(),
        );
        let text = error.unwrap_err().to_string();
        for key in ["listen:", "state:", "network.subnet:"] {
            assert!(text.contains(key), "{text}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let text = format!(
            "{:?}",
            load("[host]\nboot_dedline_seconds = 3\n", Flags::default()).unwrap_err()
        );
        assert!(text.contains("boot_dedline_seconds"), "{text}");
    }
}
