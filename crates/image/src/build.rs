//! From layers in the cache to an image in the cache, and back from there to what a caller attaches.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use model::{ByteSize, Digest};
use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::entry::{BLOCK, Entry};
use crate::erofs::{self, Blobs, Device, ErofsError, Form};
use crate::guard::Guards;
use crate::image::{DiskKind, Image, ImageDisk};
use crate::layer::{DATA, ENTRIES};
use crate::merge::{self, MergeError};
use crate::spec::{self, Document, LayerInfo};
use crate::store::{Store, StoreError};

/// The names of an image's files in its directory.
const MANIFEST: &str = "manifest";
const CONFIG: &str = "config";

/// Why no root filesystem can be made of layers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("its layers do not fit together")]
    Merge(#[from] MergeError),
    #[error("its file system cannot be written")]
    Erofs(#[from] ErofsError),
    #[error("its files cannot be written")]
    Write(#[source] io::Error),
    #[error("the image cache failed")]
    Store(#[from] StoreError),
    #[error("its layer {0} is no longer in the cache")]
    LayerGone(Digest),
    #[error("its layers have {size} bytes of names and attributes, the limit is {limit}")]
    TooLarge { size: u64, limit: u64 },
}

/// The documents of an image, and what they mean.
pub(crate) struct Recipe {
    pub(crate) digest: Digest,
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<LayerInfo>,
}

/// The image of a manifest, if it is here in the form that the configuration asks for.
pub(crate) fn load(store: &Store, digest: &Digest, config: &Config) -> Result<Option<Image>, StoreError> {
    let directory = store.image(digest);
    let (Ok(manifest), Ok(document)) = (
        fs::read(directory.join(MANIFEST)),
        fs::read(directory.join(CONFIG)),
    ) else {
        return Ok(None);
    };
    let Ok(Document::Manifest(manifest)) = Document::parse(&manifest) else {
        return Ok(None);
    };
    let Ok((said, layers)) = spec::image(&manifest, &document, &config.limits) else {
        return Ok(None);
    };
    if !layers.iter().all(|layer| store.layer(&layer.diff_id).is_dir()) {
        return Ok(None);
    }
    let blobs = blobs(store, &layers, config.max_disks);
    let first = directory.join(file_name(blobs.form));
    let Ok(metadata) = fs::metadata(&first) else {
        return Ok(None);
    };
    let mut disks = vec![ImageDisk {
        path: first,
        kind: DiskKind::Metadata,
        size: ByteSize::from_bytes(metadata.len()),
    }];
    if blobs.form == Form::Split {
        disks.extend(
            devices(store, &layers)
                .into_iter()
                .map(|(diff_id, size)| ImageDisk {
                    path: store.layer(&diff_id).join(DATA),
                    kind: DiskKind::Layer,
                    size: ByteSize::from_bytes(size),
                }),
        );
    }
    Ok(Some(Image {
        digest: *digest,
        config: said,
        disks,
    }))
}

/// The diff ids of an image in the cache; empty if it cannot be read.
pub(crate) fn layers_of(store: &Store, digest: &Digest, config: &Config) -> Vec<Digest> {
    let directory = store.image(digest);
    let read = || {
        let manifest = fs::read(directory.join(MANIFEST)).ok()?;
        let document = fs::read(directory.join(CONFIG)).ok()?;
        let Document::Manifest(manifest) = Document::parse(&manifest).ok()? else {
            return None;
        };
        Some(spec::image(&manifest, &document, &config.limits).ok()?.1)
    };
    read()
        .unwrap_or_default()
        .iter()
        .map(|layer| layer.diff_id)
        .collect()
}

/// Makes an image's file system from its layers, which must be here, and publishes it. Its lock must be held.
pub(crate) fn build(
    store: &Store,
    recipe: &Recipe,
    guards: &Guards,
    config: &Config,
) -> Result<(), BuildError> {
    check_room(store, recipe, config.limits.metadata_bytes)?;
    let mut layers = Vec::new();
    for layer in &recipe.layers {
        let unpacked = store
            .read_layer(&layer.diff_id)?
            .ok_or(BuildError::LayerGone(layer.diff_id))?;
        layers.push(unpacked.entries);
    }
    let blobs = blobs(store, &recipe.layers, config.max_disks);
    let temporary = store.temporary()?;
    let name = file_name(blobs.form);
    write_file_system(
        store,
        &recipe.layers,
        layers,
        &blobs,
        &temporary.path().join(name),
    )?;
    let place = store.image(&recipe.digest);
    if fs::read(place.join(MANIFEST)).is_ok_and(|there| there == recipe.manifest) {
        // It is here in its other form.
        return Ok(store.publish(&temporary.path().join(name), &place.join(name))?);
    }
    for (name, content) in [(MANIFEST, &recipe.manifest), (CONFIG, &recipe.config)] {
        write_synced(&temporary.path().join(name), content).map_err(BuildError::Write)?;
    }
    store.guard(temporary.path(), guards)?;
    Ok(store.replace(temporary.path(), &place)?)
}

fn check_room(store: &Store, recipe: &Recipe, limit: u64) -> Result<(), BuildError> {
    let length = |layer: &LayerInfo| {
        fs::metadata(store.layer(&layer.diff_id).join(ENTRIES)).map_or(0, |list| list.len())
    };
    let size = recipe.layers.iter().map(length).sum();
    if size > limit {
        Err(BuildError::TooLarge { size, limit })
    } else {
        Ok(())
    }
}

fn write_file_system(
    store: &Store,
    layers: &[LayerInfo],
    entries: Vec<Vec<Entry>>,
    blobs: &Blobs,
    path: &Path,
) -> Result<(), BuildError> {
    let tree = merge::merge(entries)?;
    let mut file = File::create_new(path).map_err(BuildError::Write)?;
    erofs::write(&tree, blobs, BufWriter::with_capacity(1 << 20, &file))?;
    if blobs.form == Form::Flat {
        for (diff_id, _) in devices(store, layers) {
            let data = File::open(store.layer(&diff_id).join(DATA));
            // Between two files this is copy_file_range(2), which shares blocks where the file system can.
            data.and_then(|mut data| io::copy(&mut data, &mut file))
                .map_err(BuildError::Write)?;
        }
    }
    file.sync_all().map_err(BuildError::Write)
}

/// Chooses the form, and says where each layer's data is in it.
fn blobs(store: &Store, layers: &[LayerInfo], max_disks: usize) -> Blobs {
    let devices = devices(store, layers);
    let form = if devices.len() < max_disks {
        Form::Split
    } else {
        Form::Flat
    };
    let of_layer = |layer: &LayerInfo| devices.iter().position(|(diff_id, _)| *diff_id == layer.diff_id);
    let mut hasher = Sha256::new();
    hasher.update([form as u8]);
    layers
        .iter()
        .for_each(|layer| hasher.update(layer.diff_id.as_bytes()));
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&hasher.finalize()[..16]);
    // Version 8, "custom" (RFC 9562 section 5.8).
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    Blobs {
        form,
        of_layer: layers.iter().map(of_layer).collect(),
        devices: devices
            .iter()
            .map(|(diff_id, size)| Device {
                tag: diff_id.hex(),
                blocks: size / BLOCK,
            })
            .collect(),
        uuid,
    }
}

/// The layers that have data, each once, lowest first, with its length.
fn devices(store: &Store, layers: &[LayerInfo]) -> Vec<(Digest, u64)> {
    let mut devices: Vec<(Digest, u64)> = Vec::new();
    for layer in layers {
        let length = store.blob_length(&layer.diff_id);
        if length > 0 && devices.iter().all(|(diff_id, _)| *diff_id != layer.diff_id) {
            devices.push((layer.diff_id, length));
        }
    }
    devices
}

fn file_name(form: Form) -> &'static str {
    match form {
        Form::Split => "split.erofs",
        Form::Flat => "flat.erofs",
    }
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(content)?;
    file.sync_all()
}
