//! A disk with all modules of the kernel, for every guest to read: the folder `/lib/modules/RELEASE` as an EROFS.
//!
//! It is made once per kernel package and kept beside it. Signatures are cut off, as in the initramfs: one that does not
//! match any more would be worse than none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::RECIPE;
use super::error::Error;
use super::files::{read, run};
use super::kernel::{Package, Tree};
use super::modules::unsigned;

pub(super) const NAME: &str = "modules.erofs";

/// What depmod writes for programs of ours and others; links back to the sources of the kernel stay out.
const TABLES: &str = "modules.";

/// Makes it, or finds it made. The tables of depmod are there already.
pub(super) fn make(cache: &Path, package: &Package, tree: &Tree) -> Result<PathBuf, Error> {
    let short: String = package.sha256.chars().take(16).collect();
    let disk = cache.join(format!("{short}-{RECIPE}.erofs"));
    if disk.exists() {
        return Ok(disk);
    }
    let folder = cache.join(format!("collecting-{}", std::process::id()));
    let beside = disk.with_extension(format!("new-{}", std::process::id()));
    let made = collect(tree, &folder)
        .and_then(|()| pack(&folder, &beside))
        .and_then(|()| fs::rename(&beside, &disk).map_err(Error::write(&disk)));
    let cleared = fs::remove_dir_all(&folder).map_err(Error::write(&folder));
    made.and(cleared).map(|()| disk)
}

fn collect(tree: &Tree, folder: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(&tree.modules).map_err(Error::read(&tree.modules))? {
        let entry = entry.map_err(Error::read(&tree.modules))?;
        let name = entry.file_name();
        let wanted = name == "kernel" || name.to_string_lossy().starts_with(TABLES);
        if wanted {
            copy(&entry.path(), &folder.join(name))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    if !from.is_dir() {
        let content = read(from)?;
        let is_module = from.extension().is_some_and(|kind| kind == "ko");
        let content = if is_module { unsigned(content) } else { content };
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(Error::write(parent))?;
        }
        return fs::write(to, content).map_err(Error::write(to));
    }
    for entry in fs::read_dir(from).map_err(Error::read(from))? {
        let name = entry.map_err(Error::read(from))?.file_name();
        copy(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

/// Uncompressed, so that guests share the host's page cache and decompress nothing; the same tree gives the same bytes.
fn pack(folder: &Path, disk: &Path) -> Result<(), Error> {
    let mut command = Command::new("mkfs.erofs");
    command.args([
        "-x-1",
        "-T0",
        "--all-root",
        "-U00000000-0000-8000-8000-000000000000",
    ]);
    run("mkfs.erofs", "erofs-utils", command.arg(disk).arg(folder)).map(drop)
}
