//! What the tests share.

pub(crate) mod image;
pub(crate) mod mount;
pub(crate) mod registry;
pub(crate) mod tar;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ::image::{Config, Image, Images, PullError};
use model::{ImageRef, Reason};

/// A cache in a directory of its own, with little patience.
pub(crate) struct Cache {
    pub(crate) images: Images,
    pub(crate) root: PathBuf,
    _directory: Option<tempfile::TempDir>,
}

impl Cache {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut cache = Self::at(directory.path(), |_| {});
        cache._directory = Some(directory);
        cache
    }

    pub(crate) fn at(root: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(root);
        config.architecture = ::image::Architecture::Amd64;
        config.patience.connect = Duration::from_secs(2);
        config.patience.idle = Duration::from_millis(500);
        config.patience.attempts = 3;
        config.patience.back_off = Duration::from_millis(10);
        change(&mut config);
        let images = Images::open(config).expect("a cache");
        Self {
            images,
            root: root.to_owned(),
            _directory: None,
        }
    }

    pub(crate) async fn pull(&self, reference: &ImageRef) -> Result<Image, PullError> {
        self.images.pull(reference, &|_| {}).await
    }

    /// The reason of a pull that must fail.
    pub(crate) async fn refusal(&self, reference: &ImageRef) -> Reason {
        let before = self.without_whole_layers();
        let reason = self.pull(reference).await.expect_err("a refusal").reason();
        assert_eq!(
            self.without_whole_layers(),
            before,
            "something half-made is left after {reason}"
        );
        reason
    }

    /// The listing without layers that are complete: those serve the next pull.
    fn without_whole_layers(&self) -> Vec<PathBuf> {
        let mut listing = self.listing();
        let layers = self.root.join("layers");
        let is_whole = |layer: &Path| layer.parent() == Some(&layers) && layer.join("entries").is_file();
        listing.retain(|path| !path.ancestors().any(is_whole));
        listing
    }

    /// Every path in the cache, but for the file that says the cache is in use.
    pub(crate) fn listing(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut waiting = vec![self.root.clone()];
        while let Some(directory) = waiting.pop() {
            for entry in std::fs::read_dir(&directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    waiting.push(path.clone());
                }
                found.push(path);
            }
        }
        found.retain(|path| !path.ends_with("in-use"));
        found.sort();
        found
    }
}

/// A layout's reference.
pub(crate) fn layout_ref(directory: &Path, tag: Option<&str>) -> ImageRef {
    let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
    format!("oci:{}{tag}", directory.display())
        .parse()
        .expect("a reference")
}

/// Whether a test can run; says why not. Where everything must run it fails instead.
pub(crate) fn can(what: &str, is_there: bool) -> bool {
    if !is_there {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs {what}");
        eprintln!("skipped: it needs {what}");
    }
    is_there
}

/// Whether a program is installed.
pub(crate) fn has(program: &str) -> bool {
    can(
        program,
        std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
        }),
    )
}

/// Whether this is root with the right to mount.
pub(crate) fn is_root() -> bool {
    can("root", nix::unistd::geteuid().is_root())
}
