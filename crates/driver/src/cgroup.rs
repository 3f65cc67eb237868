//! Control groups (cgroups(7)): what a VMM may take of the host at most.
//!
//! ```text
//!   version 2    /sys/fs/cgroup/pitwall/<id>               memory.max             pids.max   cpu.max
//!   version 1    /sys/fs/cgroup/<controller>/pitwall/<id>  memory.limit_in_bytes  pids.max   cpu.cfs_quota_us
//! ```
//!
//! Each controller is taken where it is: some hosts have version 2, some version 1, some both. The groups lie at the top
//! and not below our own, so that whoever ends our service does not end machines with it. A host that has a controller
//! nowhere, or lets us make no groups, runs machines all the same; that is said once.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use model::VmId;

use crate::DriverError;

/// All groups of ours are in here.
const PARENT: &str = "pitwall";

/// Over which processor time is counted, microseconds; the kernel's own default.
const PERIOD: u64 = 100_000;

/// A group is empty when its last process has gone, but the kernel may take a moment to see it so.
const REMOVE_TRIES: u32 = 50;
const REMOVE_PAUSE: Duration = Duration::from_millis(10);

/// What a VMM may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes, the guest's memory included.
    pub(crate) memory: u64,
    /// Processes and threads.
    pub(crate) processes: u32,
    /// Processors.
    pub(crate) cpus: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Controller {
    Memory,
    Pids,
    Cpu,
}

impl Controller {
    const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A hierarchy, and the controllers that we use in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    root: PathBuf,
    version: Version,
    controllers: Vec<Controller>,
}

/// Why a group could not be made, for the log.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
struct GroupError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl GroupError {
    fn new(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self {
            operation,
            path,
            source,
        }
    }
}

/// Makes the machine's groups, with its limits, and gives their lists of processes, for a process that is to belong to
/// them.
pub(crate) fn join(id: VmId, limits: &Limits) -> Vec<File> {
    let hierarchies = present();
    let missing = missing(&hierarchies);
    if !missing.is_empty() {
        warn_once(&format!(
            "this host has no control groups for {}",
            missing.join(", ")
        ));
    }
    let joined = hierarchies.iter().filter_map(|hierarchy| {
        let made = hierarchy.make(id, limits);
        made.inspect_err(|error| {
            let source = std::error::Error::source(error).map(ToString::to_string);
            warn_once(&format!("{error}: {}", source.unwrap_or_default()));
        })
        .ok()
    });
    joined.collect()
}

/// The controllers that this host has nowhere, by the kernel's names. Machines run without their limits.
pub fn missing_controllers() -> Vec<&'static str> {
    missing(&present())
}

/// Removes the machine's groups, whose processes have ended.
///
/// # Errors
/// When a group is still there.
pub(crate) fn leave(id: VmId) -> Result<(), DriverError> {
    for hierarchy in present() {
        let group = hierarchy.group(id);
        remove(&group).map_err(|source| DriverError::Folder {
            operation: "remove the control group",
            path: group,
            source,
        })?;
        // The last one takes the parent with it; where others are left, it stays.
        let _ = fs::remove_dir(hierarchy.root.join(PARENT));
    }
    Ok(())
}

fn remove(group: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match fs::remove_dir(group) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries < REMOVE_TRIES => {
                tries += 1;
                std::thread::sleep(REMOVE_PAUSE);
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => return Ok(()),
        }
    }
}

fn warn_once(what: &str) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| tracing::warn!("{what}; machines run without such limits"));
}

/// The hierarchies of this host that have controllers for us.
fn present() -> Vec<Hierarchy> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    hierarchies(&mounts, |root| {
        fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default()
    })
}

/// Pure: where each controller is, version 2 before version 1. `offered` tells the controllers of a version 2 hierarchy.
fn hierarchies(mounts: &str, offered: impl Fn(&Path) -> String) -> Vec<Hierarchy> {
    let mut left = Controller::ALL.to_vec();
    let mut found = Vec::new();
    for (kind, version) in [("cgroup2", Version::Two), ("cgroup", Version::One)] {
        for line in mounts.lines() {
            let fields: Vec<_> = line.split(' ').collect();
            let (Some(root), Some(&type_), Some(options)) = (fields.get(1), fields.get(2), fields.get(3))
            else {
                continue;
            };
            if type_ != kind {
                continue;
            }
            let root = PathBuf::from(root);
            let names = match version {
                Version::Two => offered(&root),
                Version::One => options.replace(',', " "),
            };
            let has = |controller: &Controller| {
                names
                    .split_ascii_whitespace()
                    .any(|name| name == controller.name())
            };
            let (controllers, others): (Vec<_>, Vec<_>) = left.into_iter().partition(has);
            left = others;
            if !controllers.is_empty() {
                found.push(Hierarchy {
                    root,
                    version,
                    controllers,
                });
            }
        }
    }
    found
}

fn missing(hierarchies: &[Hierarchy]) -> Vec<&'static str> {
    let there = |controller: &Controller| hierarchies.iter().any(|one| one.controllers.contains(controller));
    let missing = Controller::ALL.iter().filter(|controller| !there(controller));
    missing.map(|controller| controller.name()).collect()
}

impl Hierarchy {
    fn group(&self, id: VmId) -> PathBuf {
        self.root.join(PARENT).join(id.to_string())
    }

    fn make(&self, id: VmId, limits: &Limits) -> Result<File, GroupError> {
        let group = self.group(id);
        self.make_directories(&group)?;
        for (file, value) in settings(self, limits) {
            let file = group.join(file);
            fs::write(&file, value).map_err(GroupError::new("write", &file))?;
        }
        let list = group.join("cgroup.procs");
        let opened = OpenOptions::new().write(true).open(&list);
        opened.map_err(GroupError::new("open", &list))
    }

    /// In version 2 a group has those controllers that all groups above it pass on.
    fn make_directories(&self, group: &Path) -> Result<(), GroupError> {
        let parent = self.root.join(PARENT);
        fs::create_dir_all(&parent).map_err(GroupError::new("make", &parent))?;
        if self.version == Version::Two {
            let names = self
                .controllers
                .iter()
                .map(|controller| format!("+{}", controller.name()));
            let names = names.collect::<Vec<_>>().join(" ");
            for above in [&self.root, &parent] {
                let file = above.join("cgroup.subtree_control");
                fs::write(&file, &names).map_err(GroupError::new("write", &file))?;
            }
        }
        fs::create_dir_all(group).map_err(GroupError::new("make", group))
    }
}

/// Pure: each file of the machine's group and what is written to it.
fn settings(hierarchy: &Hierarchy, limits: &Limits) -> Vec<(&'static str, String)> {
    let quota = u64::from(limits.cpus) * PERIOD;
    let each = |controller: &Controller| match (controller, hierarchy.version) {
        (Controller::Memory, Version::Two) => vec![("memory.max", limits.memory.to_string())],
        (Controller::Memory, Version::One) => vec![("memory.limit_in_bytes", limits.memory.to_string())],
        (Controller::Pids, Version::One | Version::Two) => vec![("pids.max", limits.processes.to_string())],
        (Controller::Cpu, Version::Two) => vec![("cpu.max", format!("{quota} {PERIOD}"))],
        (Controller::Cpu, Version::One) => vec![
            ("cpu.cfs_period_us", PERIOD.to_string()),
            ("cpu.cfs_quota_us", quota.to_string()),
        ],
    };
    hierarchy.controllers.iter().flat_map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        memory: 256 << 20,
        processes: 9,
        cpus: 2,
    };

    fn told(mounts: &str, offered: &str) -> Vec<String> {
        let hierarchies = hierarchies(mounts, |_| offered.to_owned());
        let settings = hierarchies.iter().flat_map(|hierarchy| {
            let root = hierarchy.root.display().to_string();
            let lines = settings(hierarchy, &LIMITS).into_iter();
            lines.map(move |(file, value)| format!("{root} {file} {value}"))
        });
        settings.collect()
    }

    #[test]
    fn each_controller_is_taken_where_it_is() {
        let two = "cgroup2 /cg cgroup2 rw 0 0\n";
        let expected = [
            "/cg memory.max 268435456",
            "/cg pids.max 9",
            "/cg cpu.max 200000 100000",
        ];
        assert_eq!(told(two, "cpuset cpu io memory hugetlb pids"), expected);

        let both = "cgroup2 /cg/unified cgroup2 rw 0 0\n\
                    cgroup /cg/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
                    cgroup /cg/memory cgroup rw,memory 0 0\n";
        let expected = [
            "/cg/unified pids.max 9",
            "/cg/cpu,cpuacct cpu.cfs_period_us 100000",
            "/cg/cpu,cpuacct cpu.cfs_quota_us 200000",
            "/cg/memory memory.limit_in_bytes 268435456",
        ];
        assert_eq!(told(both, "pids"), expected);
        assert_eq!(told(both, "")[0], "/cg/cpu,cpuacct cpu.cfs_period_us 100000");
        assert_eq!(missing(&hierarchies(both, |_| String::new())), ["pids"]);
        assert_eq!(
            missing(&hierarchies("proc /proc proc rw 0 0\n", |_| String::new())),
            ["memory", "pids", "cpu"]
        );
    }

    #[test]
    fn in_version_two_the_controllers_are_passed_down() {
        let directory = tempfile::tempdir().unwrap();
        let hierarchy = Hierarchy {
            root: directory.path().to_owned(),
            version: Version::Two,
            controllers: vec![Controller::Memory, Controller::Pids],
        };
        let id = VmId::from_random([3; 16]);
        let group = hierarchy.group(id);
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cgroup.procs"), "").unwrap();
        hierarchy.make(id, &LIMITS).unwrap();
        for above in [directory.path(), group.parent().unwrap()] {
            let passed = fs::read_to_string(above.join("cgroup.subtree_control")).unwrap();
            assert_eq!(passed, "+memory +pids");
        }
        assert_eq!(fs::read_to_string(group.join("memory.max")).unwrap(), "268435456");
        assert_eq!(fs::read_to_string(group.join("pids.max")).unwrap(), "9");
    }

    /// With this machine's own groups, whichever version they are.
    #[test]
    fn a_group_is_made_and_removed_twice_and_limits_hold() {
        let id = VmId::from_random([0xd1; 16]);
        let joined = join(id, &LIMITS);
        if joined.is_empty() {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no control groups");
            println!("skipped: no control groups can be made here");
            return;
        }
        let hierarchies = present();
        let memory = hierarchies
            .iter()
            .find(|one| one.controllers.contains(&Controller::Memory));
        if let Some(memory) = memory {
            let [(file, value), ..] = &settings(memory, &LIMITS)[..] else {
                panic!("no setting")
            };
            let written = fs::read_to_string(memory.group(id).join(file)).unwrap();
            assert_eq!(written.trim(), value);
        }
        drop(joined);
        leave(id).unwrap();
        leave(id).unwrap();
        assert!(hierarchies.iter().all(|one| !one.group(id).exists()));
    }
}
