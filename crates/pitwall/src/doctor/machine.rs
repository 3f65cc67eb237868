//! The machine itself: who asks, its kernel, its clock, its disk.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::finding::{Finding, bad, note, well};
use crate::config::Settings;

pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    vec![
        root(nix::unistd::geteuid().is_root()),
        host(settings),
        kernel(&release()),
        clock(SystemTime::now(), built(), keeper()),
        disk(settings),
    ]
}

fn root(is_root: bool) -> Finding {
    if is_root {
        well("root", "yes")
    } else {
        bad(
            "root",
            "this is not root, so no VM can be made, and not all can be looked at",
            "sudo pitwall …",
        )
    }
}

fn host(settings: &Settings) -> Finding {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = crate::parts::memory_bytes().unwrap_or_default() >> 20;
    well(
        "host",
        format!(
            "{}, {} with {cpus} processors and {memory} MiB of memory",
            settings.host.name,
            std::env::consts::ARCH
        ),
    )
}

fn release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// The oldest kernel that Firecracker's releases are tried on, and one with all that the network needs.
const OLDEST_KERNEL: (u32, u32) = (5, 10);

/// Pure: whether a kernel's release is new enough.
fn kernel(release: &str) -> Finding {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next()?.parse::<u32>().ok();
    match (number(), number()) {
        (Some(major), Some(minor)) if (major, minor) >= OLDEST_KERNEL => well("kernel", release),
        (Some(_), Some(_)) => bad(
            "kernel",
            format!("{release} is older than 5.10, which pitwall was never tried on"),
            "upgrade this host's system",
        ),
        _ => note(
            "kernel",
            format!("its version cannot be read from {release:?}"),
            "uname -r; it should be 5.10 or newer",
        ),
    }
}

/// What keeps this host's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeper {
    /// A daemon says that it is right.
    Right,
    /// This one runs.
    Runs(&'static str),
    /// systemd's, which has not reached a server yet.
    Waits,
    /// None was found.
    Nobody,
}

/// The names of time daemons, as the kernel cuts them.
const DAEMONS: [&str; 4] = ["chronyd", "ntpd", "ntpsec", "systemd-timesyn"];

fn keeper() -> Keeper {
    // systemd-timesyncd.service(8): the file is there once the clock was set.
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Keeper::Right;
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = processes.filter_map(|process| fs::read_to_string(process.path().join("comm")).ok());
    let mut found = Keeper::Nobody;
    for name in names {
        if let Some(daemon) = DAEMONS.into_iter().find(|daemon| *daemon == name.trim()) {
            found = Keeper::Runs(daemon);
        }
    }
    match found == Keeper::Runs("systemd-timesyn") {
        true => Keeper::Waits,
        false => found,
    }
}

/// When this program was written to disk: no clock that is right is before that.
fn built() -> Option<SystemTime> {
    fs::metadata(std::env::current_exe().ok()?).ok()?.modified().ok()
}

/// A file may come from a machine whose clock is a little ahead.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(24 * 3600);

/// Pure: whether the clock can be right, and stays so.
fn clock(now: SystemTime, built: Option<SystemTime>, keeper: Keeper) -> Finding {
    const INSTALL: &str = "apt-get install --no-install-recommends chrony";
    if built.is_some_and(|built| now + CLOCK_TOLERANCE < built) {
        return bad(
            "clock",
            "this host's clock is before the day this program was made; no certificate will hold",
            match keeper {
                Keeper::Nobody => INSTALL,
                Keeper::Right | Keeper::Runs(_) | Keeper::Waits => {
                    "date --set, or look at the time daemon's log"
                }
            },
        );
    }
    match keeper {
        Keeper::Right => well("clock", "systemd-timesyncd has set it"),
        Keeper::Runs(daemon) => well("clock", format!("{daemon} keeps it")),
        Keeper::Waits => note(
            "clock",
            "systemd-timesyncd has not set it since the start",
            "timedatectl timesync-status",
        ),
        Keeper::Nobody => note(
            "clock",
            "nothing on this host keeps it; the guests' follow it (in a container, its host may keep it)",
            INSTALL,
        ),
    }
}

/// Below this, the next image may not fit.
const LITTLE_DISK: u64 = 2 << 30;

/// Below this, the next VMs' folders may not fit.
const FEW_FILES: u64 = 10_000;

/// What a file system has left.
#[derive(Debug, Clone, Copy)]
struct Left {
    bytes: u64,
    /// `None` where it has no fixed number.
    files: Option<u64>,
}

fn disk(settings: &Settings) -> Finding {
    let place = super::nearest(&settings.state);
    let left = nix::sys::statvfs::statvfs(place).map(|disk| Left {
        bytes: disk.blocks_available() * disk.fragment_size(),
        files: (disk.files() > 0).then(|| disk.files_available()),
    });
    match left {
        Ok(left) => judge_disk(left, &settings.state),
        Err(error) => bad(
            "disk",
            format!("{} cannot be looked at: {error}", place.display()),
            "--state DIR",
        ),
    }
}

/// Pure: whether there is room for more.
fn judge_disk(left: Left, state: &Path) -> Finding {
    let found = format!("{} MiB free for {}", left.bytes >> 20, state.display());
    if left.bytes < LITTLE_DISK {
        return bad("disk", found, "free space, or choose another place with --state");
    }
    match left.files {
        Some(files) if files < FEW_FILES => bad(
            "disk",
            format!("{found}, but only {files} more files"),
            "remove small files, or choose another file system with --state",
        ),
        Some(_) | None => well("disk", found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_judged_by_its_first_two_numbers() {
        for (release, ok, mend) in [
            ("6.12.8+bpo-amd64", true, false),
            ("5.10.0", true, false),
            ("5.4.0-200-generic", false, true),
            ("4.19.1", false, true),
            ("10.0", true, false),
            ("", true, true),
        ] {
            let found = kernel(release);
            assert_eq!(
                (found.ok, found.mend.is_some()),
                (ok, mend),
                "{release}: {found:?}"
            );
        }
    }

    #[test]
    fn a_clock_before_the_program_is_wrong_and_an_untended_one_is_noted() {
        let day = |day: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(day * 24 * 3600);
        for (now, built, keeper, ok, mend) in [
            (day(100), Some(day(90)), Keeper::Right, true, false),
            (day(100), Some(day(90)), Keeper::Runs("chronyd"), true, false),
            (day(100), Some(day(90)), Keeper::Waits, true, true),
            (day(100), None, Keeper::Nobody, true, true),
            (day(100), Some(day(100)), Keeper::Right, true, false),
            (day(10), Some(day(90)), Keeper::Right, false, true),
            (day(10), Some(day(90)), Keeper::Nobody, false, true),
        ] {
            let found = clock(now, built, keeper);
            assert_eq!((found.ok, found.mend.is_some()), (ok, mend), "{found:?}");
        }
    }

    #[test]
    fn a_disk_runs_out_of_bytes_or_of_files() {
        for (bytes, files, ok) in [
            (LITTLE_DISK, Some(FEW_FILES), true),
            (LITTLE_DISK, None, true),
            (LITTLE_DISK - 1, None, false),
            (u64::MAX, Some(FEW_FILES - 1), false),
        ] {
            let found = judge_disk(Left { bytes, files }, Path::new("/s"));
            assert_eq!(found.ok, ok, "{found:?}");
        }
    }
}
