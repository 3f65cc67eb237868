//! One pull, from reference to image.
//!
//! ```text
//!   find the manifest ─► lock its digest ─► in the cache? ─► configuration ─► layers, in parallel ─► build
//! ```
//!
//! What is in the cache serves a pull that is let in ([`crate::guard`]); else it is fetched again, to show that it can be.
//!
//! Whoever comes second waits at the lock and finds the image in the cache. Files are read and written on
//! blocking threads. Each of them holds what it needs, locks included, so a pull may be dropped at any point:
//! the threads see it, stop, and clean up after themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use model::{Digest, ImageRef, RegistryCredentials};
use tokio_util::sync::CancellationToken;

use crate::build::{self, BuildError, Recipe};
use crate::error::{PullError, PullFailure};
use crate::guard::{Access, Guards};
use crate::image::{Image, PullEvent};
use crate::images::{LOCK_POLL, Shared, image_lock};
use crate::layer::{self, BlobInput, LayerError, Progress};
use crate::source::{self, BlobInfo, Found, Source, SourceError};
use crate::spec::{self, LayerInfo};
use crate::store::{Cached, Lock, StoreError};

/// Layers taken in at once. More would not be faster: one already keeps three threads busy.
const PARALLEL: usize = 3;

/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);

type OnEvent<'a> = &'a (dyn Fn(PullEvent) + Send + Sync);

/// A pull under way.
pub(crate) struct Pull {
    shared: Arc<Shared>,
    reference: ImageRef,
    name: String,
    credentials: Option<RegistryCredentials>,
    cancelled: CancellationToken,
}

impl Drop for Pull {
    fn drop(&mut self) {
        self.cancelled.cancel();
    }
}

impl Pull {
    pub(crate) fn new(
        shared: Arc<Shared>,
        reference: &ImageRef,
        credentials: Option<RegistryCredentials>,
    ) -> Self {
        let cancelled = CancellationToken::new();
        Self {
            shared,
            reference: reference.clone(),
            name: reference.to_string(),
            credentials,
            cancelled,
        }
    }

    pub(crate) async fn run(&self, progress: OnEvent<'_>) -> Result<Image, PullError> {
        let (reference, credentials) = (self.reference.clone(), self.credentials.clone());
        // The first TLS connection reads the host's certificates.
        let source = self
            .blocking(move |shared| Source::of(&reference, credentials, &shared.http))
            .await?;
        let source = source.map_err(|source| self.source_failed(source))?;
        let architecture = self.shared.config.architecture;
        let found = source
            .find(architecture)
            .await
            .map_err(|source| self.source_failed(source))?;
        let digest = found.digest;
        progress(PullEvent::Resolved { digest });
        let held = Arc::new(self.hold(&digest, progress).await?);
        let access = source.access();
        let image = match self.load(digest).await? {
            Some(image) if self.is_let_in(digest, &access).await? => image,
            Some(_) | None => self.make(&source, found, held, progress).await?,
        };
        let name = self.name.clone();
        self.on_disk(move |shared| {
            shared.store.admit(&shared.store.image(&digest), &access)?;
            shared.store.remember(&name, &digest)
        })
        .await?;
        progress(PullEvent::Ready { digest });
        Ok(image)
    }

    /// Fetches, checks and builds an image that is not in the cache, or that this pull must show to have.
    async fn make(
        &self,
        source: &Source,
        found: Found,
        held: Arc<Held>,
        progress: OnEvent<'_>,
    ) -> Result<Image, PullError> {
        let recipe = self
            .recipe(source, found)
            .await
            .map_err(|source| self.source_failed(source))?;
        self.layers(source, &recipe.layers, &held, progress).await?;
        let digest = recipe.digest;
        if let Some(image) = self.load(digest).await? {
            return Ok(image);
        }
        progress(PullEvent::Building);
        self.build(recipe, Guards::of_new(&source.access()), held).await?;
        let gone = || PullFailure::Build {
            reference: self.name.clone(),
            source: BuildError::LayerGone(digest),
        };
        Ok(self.load(digest).await?.ok_or_else(gone)?)
    }

    /// Reads the configuration and checks that it is for these processors.
    async fn recipe(&self, source: &Source, found: Found) -> Result<Recipe, SourceError> {
        let config = source.document(&found.manifest.config).await?;
        let (said, layers) = spec::image(&found.manifest, &config, &self.shared.config.limits)?;
        let wanted = self.shared.config.architecture;
        if (said.os.as_str(), said.architecture.as_str()) != ("linux", wanted.as_str()) {
            return Err(SourceError::Platform {
                wanted,
                offered: vec![format!("{}/{}", said.os, said.architecture)],
            });
        }
        Ok(Recipe {
            digest: found.digest,
            manifest: found.bytes,
            config,
            layers,
        })
    }

    /// Takes in all layers, the largest first. After a failure the others are stopped and waited for.
    async fn layers(
        &self,
        source: &Source,
        layers: &[LayerInfo],
        held: &Arc<Held>,
        progress: OnEvent<'_>,
    ) -> Result<(), PullError> {
        let mut meters = Meters::of(layers);
        let mut order: Vec<_> = meters
            .list
            .iter()
            .map(|meter| (meter.layer.clone(), Arc::clone(&meter.done)))
            .collect();
        order.sort_by_key(|(layer, _)| std::cmp::Reverse(layer.blob.size));
        let one = |(layer, done)| async move { self.layer(source, layer, done, held).await };
        let mut running = stream::iter(order).map(one).buffer_unordered(PARALLEL);
        let mut ticks = tokio::time::interval(TICK);
        let mut failure = None;
        loop {
            tokio::select! {
                ended = running.next() => match ended {
                    Some(Ok(())) => {}
                    Some(Err(error)) => {
                        self.cancelled.cancel();
                        failure.get_or_insert(error);
                    }
                    None => break,
                },
                _ = ticks.tick() => {}
            }
            meters.tell(progress);
        }
        failure.map_or(Ok(()), Err)
    }

    /// Takes in one layer, unless it is in the cache; begins again while that may help.
    async fn layer(
        &self,
        source: &Source,
        layer: LayerInfo,
        done: Progress,
        held: &Arc<Held>,
    ) -> Result<(), PullError> {
        let (diff_id, size) = (layer.diff_id, layer.blob.size);
        let lock = Arc::new(self.lock(format!("layer-{}", diff_id.hex()), || ()).await?);
        let access = source.access();
        let cached = self
            .on_disk(move |shared| shared.store.use_layer(&diff_id, &access))
            .await?;
        if cached == Cached::Usable {
            done.store(size, Ordering::Relaxed);
            return Ok(());
        }
        let patience = &self.shared.config.patience;
        let mut attempt = 1;
        loop {
            let locks = (Arc::clone(held), Arc::clone(&lock));
            let once = self.layer_once(source, &layer, &done, cached, locks);
            let source = match once.await? {
                Err(LayerError::Source(error)) if error.is_transient() && attempt < patience.attempts => {
                    error
                }
                Err(source) => {
                    let digest = layer.blob.digest;
                    return Err(PullFailure::Layer {
                        reference: self.name.clone(),
                        digest,
                        source,
                    }
                    .into());
                }
                Ok(()) => return Ok(()),
            };
            tracing::debug!(layer = %diff_id, attempt, error = %source, "a layer is fetched again");
            self.unless_cancelled(tokio::time::sleep(source::back_off(patience, attempt)))
                .await?;
            attempt += 1;
        }
    }

    async fn layer_once(
        &self,
        source: &Source,
        layer: &LayerInfo,
        done: &Progress,
        cached: Cached,
        locks: (Arc<Held>, Arc<Lock>),
    ) -> Result<Result<(), LayerError>, PullError> {
        let blob = BlobInfo::from(&layer.blob);
        let stream = match self.unless_cancelled(source.blob(blob, &self.cancelled)).await? {
            Ok(stream) => stream,
            Err(error) => return Ok(Err(error.into())),
        };
        let input = BlobInput::new(stream, blob, Arc::clone(done), self.cancelled.clone());
        let (diff_id, access) = (layer.diff_id, source.access());
        self.blocking(move |shared| {
            let _locks = locks;
            let store = &shared.store;
            let temporary = store.temporary()?;
            let taken = layer::take_in(input, &diff_id, temporary.path(), &shared.config.limits);
            match (&taken, cached) {
                (Ok(()), Cached::No) => {
                    store.guard(temporary.path(), &Guards::of_new(&access))?;
                    store.replace(temporary.path(), &store.layer(&diff_id))?;
                }
                // It was fetched only to show that this pull may have it; VMs may run from what is there.
                (Ok(()), Cached::Guarded | Cached::Usable) => store.admit(&store.layer(&diff_id), &access)?,
                (Err(_), _) => {}
            }
            Ok::<_, StoreError>(taken)
        })
        .await?
        .map_err(PullError::from)
    }

    async fn is_let_in(&self, digest: Digest, access: &Access) -> Result<bool, PullError> {
        let access = access.clone();
        self.on_disk(move |shared| shared.store.lets_in(&shared.store.image(&digest), &access))
            .await
    }

    async fn build(&self, recipe: Recipe, guards: Guards, held: Arc<Held>) -> Result<(), PullError> {
        let built = self.blocking(move |shared| {
            let _held = held;
            build::build(&shared.store, &recipe, &guards, &shared.config)
        });
        let reference = self.name.clone();
        Ok(built
            .await?
            .map_err(|source| PullFailure::Build { reference, source })?)
    }

    async fn load(&self, digest: Digest) -> Result<Option<Image>, PullError> {
        self.on_disk(move |shared| build::load(&shared.store, &digest, &shared.config))
            .await
    }

    /// Waits until nobody sweeps layers, and nobody else pulls this image.
    async fn hold(&self, digest: &Digest, progress: OnEvent<'_>) -> Result<Held, PullError> {
        let in_use = loop {
            match self.on_disk(|shared| shared.store.try_use(false)).await? {
                Some(file) => break file,
                None => tokio::time::sleep(LOCK_POLL).await,
            }
        };
        let lock = self
            .lock(image_lock(digest), || progress(PullEvent::Waiting))
            .await?;
        Ok(Held {
            _in_use: in_use,
            _lock: lock,
        })
    }

    async fn lock(&self, name: String, waiting: impl Fn()) -> Result<Lock, PullError> {
        let mut is_waiting = false;
        loop {
            let name = name.clone();
            if let Some(lock) = self.on_disk(move |shared| shared.store.try_lock(&name)).await? {
                return Ok(lock);
            }
            if !std::mem::replace(&mut is_waiting, true) {
                waiting();
            }
            self.unless_cancelled(tokio::time::sleep(LOCK_POLL)).await?;
        }
    }

    async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, PullError> {
        let done = self.cancelled.run_until_cancelled(work).await;
        Ok(done.ok_or(PullFailure::Interrupted(None))?)
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, PullError> {
        Ok(self.blocking(work).await??)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> Result<T, PullError> {
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        Ok(done.map_err(|error| PullFailure::Interrupted(Some(error)))?)
    }

    fn source_failed(&self, source: SourceError) -> PullFailure {
        PullFailure::Source {
            reference: self.name.clone(),
            source,
        }
    }
}

/// What a pull holds while it changes the cache.
struct Held {
    _in_use: std::fs::File,
    _lock: Lock,
}

/// The progress of each layer; a layer that an image has twice is taken in once.
struct Meters<'a> {
    list: Vec<Meter<'a>>,
}

struct Meter<'a> {
    layer: &'a LayerInfo,
    done: Progress,
    told: u64,
}

impl<'a> Meters<'a> {
    fn of(layers: &'a [LayerInfo]) -> Self {
        let mut list: Vec<Meter<'a>> = Vec::new();
        for layer in layers {
            if list.iter().all(|meter| meter.layer.diff_id != layer.diff_id) {
                list.push(Meter {
                    layer,
                    done: Arc::new(AtomicU64::new(0)),
                    told: 0,
                });
            }
        }
        Self { list }
    }

    fn tell(&mut self, progress: OnEvent<'_>) {
        let count = self.list.len();
        for (index, meter) in self.list.iter_mut().enumerate() {
            let done = meter.done.load(Ordering::Relaxed);
            if done != meter.told {
                meter.told = done;
                progress(PullEvent::LayerProgress {
                    index,
                    count,
                    done,
                    total: meter.layer.blob.size,
                });
            }
        }
    }
}
