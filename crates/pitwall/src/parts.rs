//! How the parts of a host are built from the settings.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use driver::firecracker::MAX_DISKS;
use image::Images;
use model::Capacity;
use orchestrator::hands::RootHands;
use orchestrator::network::NetworkConfig;
use orchestrator::{BootLimits, KernelFiles, Parts};

use crate::config::Settings;
use crate::roles::RoleError;
use crate::vmm::{self, Chosen};

/// How often a host reports although nothing changed.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// How long a VM counts among those that boot at the same time: several times a boot in a crowd under emulation, and a
/// fraction of the deadline of one that hangs.
const BOOT_PATIENCE: Duration = Duration::from_secs(30);

/// The pause before a failed step is tried again, the first time.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Everything that an orchestrator is made of.
pub(crate) async fn host(settings: &Settings) -> Result<Parts, RoleError> {
    let Chosen {
        driver,
        verdict,
        not_firecracker,
    } = vmm::choose(settings).await?;
    tracing::info!(vmm = verdict.vmm, accelerator = ?verdict.accelerator, not_firecracker, "{}", verdict.why);
    make_directory(&settings.state)?;
    let images = Images::open(image::Config {
        max_disks: image_disks(driver.capabilities().abilities.max_disks),
        insecure_registries: settings.insecure_registries.clone(),
        ..image::Config::new(settings.state.join("images"))
    })?;
    let config = orchestrator::Config {
        state: settings.state.clone(),
        name: settings.host.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: kernel(settings, driver.name()),
        network: network(settings),
        capacity: capacity(settings)?,
        boot_deadline: settings.host.boot_deadline,
        boots: BootLimits {
            at_once: settings.host.max_boots,
            patience: BOOT_PATIENCE,
        },
        stop_grace: settings.host.stop_grace,
        report_every: REPORT_EVERY,
        log: settings.host.log,
        retry_after: RETRY_AFTER,
    };
    Ok(Parts {
        config,
        driver,
        images,
        hands: Arc::new(RootHands),
    })
}

/// How many disks an image may be for a driver that attaches so many: the VM's own disk and that of the kernel's modules
/// are among them. An image with more layers is flattened. One that is cached under one driver fits the other.
fn image_disks(attached: usize) -> usize {
    attached.min(MAX_DISKS).saturating_sub(2)
}

/// The settings of the host network.
pub(crate) fn network(settings: &Settings) -> NetworkConfig {
    NetworkConfig {
        bridge: settings.bridge.clone(),
        subnet: settings.subnet,
        outbound: settings.outbound.clone(),
        resolvers: settings.resolvers.clone(),
        first_owner: settings.host.first_owner,
        ..NetworkConfig::default()
    }
}

/// The guests' kernel, initramfs and modules, where they are.
pub(crate) fn bundle(settings: &Settings) -> Option<KernelFiles> {
    bundle_places(settings).into_iter().find_map(|directory| {
        let files = KernelFiles {
            vmlinux: directory.join("vmlinux"),
            initramfs: directory.join("initramfs.cpio"),
            modules: Some(directory.join("modules.erofs")).filter(|disk| disk.is_file()),
        };
        (files.vmlinux.is_file() && files.initramfs.is_file()).then_some(files)
    })
}

/// What guests boot under this driver: the bundle, with a kernel of the settings in place of its own. Such a kernel has
/// everything built in, so the bundle's modules are none of its.
fn kernel(settings: &Settings, driver: &str) -> Option<KernelFiles> {
    let bundle = bundle(settings)?;
    let own = &settings.firecracker.kernel;
    if driver != "firecracker" || own.as_os_str().is_empty() {
        return Some(bundle);
    }
    Some(KernelFiles {
        vmlinux: std::path::absolute(own).unwrap_or_else(|_| own.clone()),
        modules: None,
        ..bundle
    })
}

/// Where the bundle is looked for.
pub(crate) fn bundle_places(settings: &Settings) -> Vec<PathBuf> {
    if let Some(named) = &settings.host.bundle {
        // VMMs work in another directory.
        return vec![std::path::absolute(named).unwrap_or_else(|_| named.clone())];
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|program| program.parent().map(|dir| dir.join("bundle")));
    beside
        .into_iter()
        .chain([PathBuf::from("/usr/local/lib/pitwall")])
        .collect()
}

/// Makes a directory that others may pass through but not write to.
pub(crate) fn make_directory(path: &Path) -> Result<(), RoleError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(|source| RoleError::Directory {
            path: path.to_owned(),
            source,
        })
}

/// What the host offers: its processors and its disk several times over, as they are rarely all in use, and most
/// of its memory once.
pub(crate) fn capacity(settings: &Settings) -> Result<Capacity, RoleError> {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let disk = nix::sys::statvfs::statvfs(&settings.state).map_err(|error| RoleError::Directory {
        path: settings.state.clone(),
        source: error.into(),
    })?;
    let disk_bytes = disk.blocks() * disk.fragment_size();
    Ok(Capacity {
        cpus: u32::try_from(cpus)
            .unwrap_or(u32::MAX)
            .saturating_mul(settings.host.cpu_overcommit),
        memory_bytes: memory_bytes()? / 100 * settings.host.memory_percent,
        disk_bytes: disk_bytes.saturating_mul(settings.host.disk_overcommit),
    })
}

/// `MemTotal` of proc(5), in bytes.
pub(crate) fn memory_bytes() -> Result<u64, RoleError> {
    let path = Path::new("/proc/meminfo");
    let text = fs::read_to_string(path).map_err(|source| RoleError::Directory {
        path: path.into(),
        source,
    })?;
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .trim()
            .strip_suffix(" kB")?
            .trim()
            .parse::<u64>()
            .ok()
    });
    Ok(kib.unwrap_or_default() * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_gets_the_disks_that_a_vm_of_any_driver_has_left() {
        assert_eq!(image_disks(6), 4);
        assert_eq!(image_disks(MAX_DISKS + 1), MAX_DISKS - 2);
        assert_eq!(image_disks(1), 0, "then every image is flattened");
    }
}
