//! Debian's cloud kernel: fetched with apt as anybody, unpacked, never installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::Error;
use super::files::{read, run, sha256_hex};

/// The package that always depends on the newest cloud kernel.
const META: &str = "linux-image-cloud-amd64";

/// A kernel package on disk.
pub(super) struct Package {
    pub(super) file_name: String,
    pub(super) sha256: String,
    path: PathBuf,
}

/// An unpacked one.
pub(super) struct Tree {
    pub(super) root: PathBuf,
    pub(super) release: String,
    pub(super) bzimage: PathBuf,
    pub(super) modules: PathBuf,
}

/// The package to use: the one given, else the one at hand, else the one apt has.
pub(super) fn find(cache: &Path, given: Option<&Path>, refresh: bool) -> Result<Package, Error> {
    if let Some(path) = given {
        return package(path.to_owned());
    }
    std::fs::create_dir_all(cache).map_err(Error::write(cache))?;
    match newest_deb(cache)? {
        Some(path) if !refresh => package(path),
        Some(_) | None => package(download(cache)?),
    }
}

/// Unpacks the package beside itself, once.
pub(super) fn unpack(cache: &Path, package: &Package) -> Result<Tree, Error> {
    let short: String = package.sha256.chars().take(16).collect();
    let root = cache.join(short);
    if !root.exists() {
        let beside = cache.join(format!("unpacking-{}", std::process::id()));
        run(
            "dpkg-deb",
            "dpkg",
            Command::new("dpkg-deb").arg("-x").arg(&package.path).arg(&beside),
        )?;
        std::fs::rename(&beside, &root).map_err(Error::write(&root))?;
    }
    tree(root)
}

fn tree(root: PathBuf) -> Result<Tree, Error> {
    let nothing = |what| Error::NotInPackage {
        tree: root.clone(),
        what,
    };
    let boot = root.join("boot");
    let bzimage = entries(&boot)?
        .into_iter()
        .find(|path| name(path).starts_with("vmlinuz-"));
    let bzimage = bzimage.ok_or_else(|| nothing("boot/vmlinuz-…"))?;
    let release = name(&bzimage).trim_start_matches("vmlinuz-").to_owned();
    let folders = ["lib/modules", "usr/lib/modules"].map(|folder| root.join(folder).join(&release));
    let modules = folders.into_iter().find(|folder| folder.is_dir());
    let modules = modules.ok_or_else(|| nothing("lib/modules/…"))?;
    Ok(Tree {
        release,
        bzimage,
        modules,
        root,
    })
}

fn package(path: PathBuf) -> Result<Package, Error> {
    let sha256 = sha256_hex(&read(&path)?);
    Ok(Package {
        file_name: name(&path).to_owned(),
        sha256,
        path,
    })
}

fn download(cache: &Path) -> Result<PathBuf, Error> {
    let mut depends = Command::new("apt-cache");
    let text =
        run("apt-cache", "apt", depends.args(["depends", "--important", META])).or(Err(Error::NoPackage))?;
    let real = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .ok_or(Error::NoPackage)?;
    crate::say(&format!("bundle: fetching {real}"));
    run(
        "apt-get",
        "apt",
        Command::new("apt-get")
            .args(["download", real])
            .current_dir(cache),
    )?;
    newest_deb(cache)?.ok_or(Error::NoPackage)
}

fn newest_deb(cache: &Path) -> Result<Option<PathBuf>, Error> {
    let is_deb = |path: &PathBuf| name(path).starts_with("linux-image-") && name(path).ends_with(".deb");
    let age = |path: &PathBuf| path.metadata().and_then(|meta| meta.modified()).ok();
    Ok(entries(cache)?.into_iter().filter(is_deb).max_by_key(age))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let list = std::fs::read_dir(folder).map_err(Error::read(folder))?;
    list.map(|entry| entry.map(|entry| entry.path()).map_err(Error::read(folder)))
        .collect()
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}
