//! What can go wrong between a package and a bundle, each with the next step where there is one.

use std::path::{Path, PathBuf};

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot start {program}; install it with: apt-get install {package}")]
    Start {
        program: &'static str,
        package: &'static str,
        source: std::io::Error,
    },
    #[error("{program} failed ({status}): {said}")]
    Failed {
        program: &'static str,
        status: std::process::ExitStatus,
        said: String,
    },
    #[error("apt knows no linux-image-cloud-amd64; run apt-get update, or give a package with --deb FILE")]
    NoPackage,
    #[error("{} holds no {what}; give another kernel package with --deb FILE", tree.display())]
    NotInPackage { tree: PathBuf, what: &'static str },
    #[error("{} is not a bzImage with an LZ4 payload: {why}; give another kernel package with --deb FILE", path.display())]
    BzImage { path: PathBuf, why: &'static str },
    #[error("cannot decompress the kernel in {}", path.display())]
    Lz4 {
        path: PathBuf,
        source: lz4_flex::block::DecompressError,
    },
    #[error("the kernel package has no module {0}, which a microVM needs")]
    NoModule(String),
    #[error("cannot describe the bundle")]
    Describe(#[source] serde_json::Error),
}

impl Error {
    pub(super) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    pub(super) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}
