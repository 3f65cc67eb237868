//! The handle of the cache.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use model::{ByteSize, Digest, ImageRef, RegistryCredentials};

use crate::build;
use crate::config::Config;
use crate::error::{CacheError, CacheFailure, OpenError, PullError};
use crate::image::{Image, ImageSummary, PullEvent};
use crate::pull::Pull;
use crate::source::Http;
use crate::store::{Store, StoreError};

/// How often somebody else's lock is looked at.
pub(crate) const LOCK_POLL: Duration = Duration::from_millis(20);

/// The images of a host. Clones are the same cache; several processes may share one.
///
/// All methods but [`pull`](Self::pull) and [`pull_as`](Self::pull_as) block on the disk for a moment.
#[derive(Clone)]
pub struct Images {
    shared: Arc<Shared>,
}

/// What all clones have in common.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) http: Http,
}

impl Images {
    /// Opens a cache, making it if needed, and removes what dead processes left unfinished there.
    ///
    /// # Errors
    /// If the directory cannot be made or written.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let store = Store::open(&config.root)?;
        let http = Http::new(config.insecure_registries.clone(), config.patience.clone());
        Ok(Self {
            shared: Arc::new(Shared { config, store, http }),
        })
    }

    /// Makes an image available that anybody may pull. Tags are looked up each time; what is in the cache is not fetched again.
    /// A pull that is dropped stops soon after.
    ///
    /// # Errors
    /// [`PullError::reason`] tells people what to do.
    pub async fn pull(
        &self,
        reference: &ImageRef,
        progress: &(dyn Fn(PullEvent) + Send + Sync),
    ) -> Result<Image, PullError> {
        self.pull_as(reference, None, progress).await
    }

    /// The same with credentials. They go to the registry that the reference names and to the token server that it names,
    /// over TLS or to a registry that is spoken to without; never into the cache.
    ///
    /// # Errors
    /// As for [`pull`](Self::pull).
    pub async fn pull_as(
        &self,
        reference: &ImageRef,
        credentials: Option<RegistryCredentials>,
        progress: &(dyn Fn(PullEvent) + Send + Sync),
    ) -> Result<Image, PullError> {
        let pull = Pull::new(Arc::clone(&self.shared), reference, credentials);
        pull.run(progress).await
    }

    /// The image with this manifest, if it is in the cache.
    ///
    /// # Errors
    /// If the cache cannot be read.
    pub fn get(&self, digest: &Digest) -> Result<Option<Image>, CacheError> {
        let Shared { config, store, .. } = &*self.shared;
        Ok(build::load(store, digest, config).map_err(CacheFailure::from)?)
    }

    /// All images in the cache, by digest.
    ///
    /// # Errors
    /// If the cache cannot be read.
    pub fn list(&self) -> Result<Vec<ImageSummary>, CacheError> {
        Ok(self.summaries().map_err(CacheFailure::from)?)
    }

    /// Removes an image and the references to it. Its layers stay until the next [`sweep`](Self::sweep); files
    /// that are open stay readable. Returns whether it was there.
    ///
    /// # Errors
    /// If the image is just being pulled, or the cache cannot be changed.
    pub fn remove(&self, digest: &Digest) -> Result<bool, CacheError> {
        let store = &self.shared.store;
        let lock = store.try_lock(&image_lock(digest)).map_err(CacheFailure::from)?;
        let _lock = lock.ok_or(CacheFailure::Busy(*digest))?;
        Ok(self.remove_locked(digest).map_err(CacheFailure::from)?)
    }

    /// Removes what no image needs: work that was given up, and layers of removed images. Layers are left alone
    /// while anybody pulls. Returns the bytes of the layers removed.
    ///
    /// # Errors
    /// If the cache cannot be changed.
    pub fn sweep(&self) -> Result<ByteSize, CacheError> {
        Ok(self
            .sweep_all()
            .map(ByteSize::from_bytes)
            .map_err(CacheFailure::from)?)
    }

    fn summaries(&self) -> Result<Vec<ImageSummary>, StoreError> {
        let Shared { config, store, .. } = &*self.shared;
        let references = store.remembered()?;
        let summary = |digest: Digest| {
            let size = build::load(store, &digest, config)?
                .map(|image| image.disks.iter().map(|disk| disk.size.bytes()).sum());
            let led_here = references.iter().filter(|(to, _, _)| *to == digest);
            let references = led_here.map(|(_, reference, _)| reference.clone()).collect();
            Ok(size.map(|size| ImageSummary {
                digest,
                references,
                size: ByteSize::from_bytes(size),
            }))
        };
        store
            .digests(&store.images())?
            .into_iter()
            .filter_map(|digest| summary(digest).transpose())
            .collect()
    }

    fn remove_locked(&self, digest: &Digest) -> Result<bool, StoreError> {
        let store = &self.shared.store;
        for (to, _, path) in store.remembered()? {
            if to == *digest {
                store.forget(&path)?;
            }
        }
        let was_there = store.image(digest).exists();
        store.discard(&store.image(digest))?;
        Ok(was_there)
    }

    fn sweep_all(&self) -> Result<u64, StoreError> {
        let Shared { config, store, .. } = &*self.shared;
        store.sweep_temporaries()?;
        let Some(_alone) = store.try_use(true)? else {
            return Ok(0);
        };
        let mut needed = BTreeSet::new();
        for digest in store.digests(&store.images())? {
            needed.extend(build::layers_of(store, &digest, config));
        }
        let mut freed = 0;
        for diff_id in store.digests(&store.layers())? {
            if !needed.contains(&diff_id) {
                let directory = store.layer(&diff_id);
                let files = fs::read_dir(&directory).into_iter().flatten().flatten();
                freed += files
                    .filter_map(|file| file.metadata().ok())
                    .map(|file| file.len())
                    .sum::<u64>();
                store.discard(&directory)?;
            }
        }
        Ok(freed)
    }
}

/// The name of an image's lock.
pub(crate) fn image_lock(digest: &Digest) -> String {
    format!("image-{}", digest.hex())
}
