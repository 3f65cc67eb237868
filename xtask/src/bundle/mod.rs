//! `cargo xtask bundle`: the kernel, the initramfs and the disk of kernel modules that every microVM starts from.
//!
//! ```text
//!   linux-image-cloud-amd64 (.deb, unpacked, never installed)
//!        ├── boot/vmlinuz-…      ──► bzimage: cut out and decompress ──► target/bundle/vmlinux
//!        ├── lib/modules/…       ──► module_disk: all of them ──────────────────► target/bundle/modules.erofs
//!        └── lib/modules/…/*.ko  ──► modules: closure, order, no signatures ─┐
//!   crates/powerunit ──► one static program ─────────────────────────────────┴─► cpio ──► target/bundle/initramfs.cpio
//! ```
//!
//! The package is fetched once and kept in `target/kernel`; `--refresh` looks for a newer one. What the bundle is
//! made of names it (`key` in `bundle.json`), so a run with nothing new to do writes nothing.
//!
//! Always holds: `bundle.json` is written last and each file is renamed into place, so whoever reads it finds the
//! files it describes; a guest that is starting keeps the files it has opened.

mod bzimage;
mod cpio;
mod error;
mod files;
mod kernel;
mod module_disk;
mod modules;
mod powerunit;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use self::error::Error;
use self::files::{Described, link_whole, read, sha256_hex, write_whole};
use crate::say;

/// Raise when the same inputs shall give another bundle.
const RECIPE: u32 = 4;

/// Command line of `cargo xtask bundle`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Use this kernel package instead of asking apt for linux-image-cloud-amd64
    #[arg(long, value_name = "FILE")]
    deb: Option<PathBuf>,
    /// Look for a newer kernel package even if one is at hand
    #[arg(long)]
    refresh: bool,
}

/// The description beside the files, for whoever starts a VM.
#[derive(Serialize, Deserialize)]
struct Manifest {
    key: String,
    kernel_package: String,
    kernel_release: String,
    vmlinux: Described,
    initramfs: Described,
    module_disk: Described,
    powerunit: Described,
    modules: Vec<String>,
}

impl Manifest {
    fn has_its_files(&self, folder: &Path) -> bool {
        let files = [&self.vmlinux, &self.initramfs, &self.module_disk];
        files.into_iter().all(|file| file.has_its_size(folder))
    }
}

/// Makes the bundle, or finds it made.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let started = Instant::now();
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = xtask.parent().unwrap_or(xtask).join("target");
    let out = target.join("bundle");
    let init = read(&powerunit::build(&target)?)?;
    let package = kernel::find(&target.join("kernel"), args.deb.as_deref(), args.refresh)?;
    let key = key(&package.sha256, &init);
    if is_current(&out, &key) {
        say(&format!(
            "bundle: nothing to do, {} is current ({:.1?})",
            out.display(),
            started.elapsed()
        ));
        return Ok(());
    }
    let tree = kernel::unpack(&target.join("kernel"), &package)?;
    let modules = modules::collect(&tree)?;
    let vmlinux = bzimage::vmlinux(&tree.bzimage)?;
    let initramfs = initramfs(&init, &modules);
    let disk = module_disk::make(&target.join("kernel"), &package, &tree)?;
    std::fs::create_dir_all(&out).map_err(Error::write(&out))?;
    let manifest = Manifest {
        key,
        kernel_package: package.file_name.clone(),
        kernel_release: tree.release.clone(),
        vmlinux: Described::new("vmlinux", &vmlinux),
        initramfs: Described::new("initramfs.cpio", &initramfs),
        module_disk: Described::new(module_disk::NAME, &read(&disk)?),
        powerunit: Described::new("init", &init),
        modules: modules.iter().map(|module| module.file_name.clone()).collect(),
    };
    write_whole(&out.join("vmlinux"), &vmlinux)?;
    write_whole(&out.join("initramfs.cpio"), &initramfs)?;
    link_whole(&out.join(module_disk::NAME), &disk)?;
    let text = serde_json::to_vec_pretty(&manifest).map_err(Error::Describe)?;
    write_whole(&out.join("bundle.json"), &text)?;
    say(&format!(
        "bundle: {} with powerunit of {} KiB and {} modules in {} ({:.1?})",
        tree.release,
        init.len() / 1024,
        modules.len(),
        out.display(),
        started.elapsed()
    ));
    Ok(())
}

fn key(package_sha256: &str, init: &[u8]) -> String {
    let parts = [&RECIPE.to_string(), package_sha256, &sha256_hex(init)];
    sha256_hex(parts.join("\n").as_bytes())
}

fn is_current(out: &Path, key: &str) -> bool {
    let manifest = std::fs::read(out.join("bundle.json"))
        .ok()
        .and_then(|text| serde_json::from_slice::<Manifest>(&text).ok());
    manifest.is_some_and(|m| m.key == key && m.has_its_files(out))
}

/// `/init`, the modules, and `/modules/order`: one line per module, `WHEN FILE`, in the order of loading.
fn initramfs(init: &[u8], modules: &[modules::Module]) -> Vec<u8> {
    let order: String = modules
        .iter()
        .map(|module| format!("{} {}\n", module.when.word(), module.file_name))
        .collect();
    let mut archive = cpio::Archive::default();
    archive.file("init", 0o755, init);
    // Where there is no console, the kernel gives init no descriptors, and Rust's run-time opens this or gives up.
    archive.directory("dev", 0o755);
    archive.device("dev/null", 0o666, 1, 3);
    archive.directory("modules", 0o755);
    archive.file("modules/order", 0o644, order.as_bytes());
    for module in modules {
        archive.file(&format!("modules/{}", module.file_name), 0o644, &module.content);
    }
    archive.finish()
}
