//! The documents of an image, read into plain shapes and turned once into what this crate works with.
//!
//! Sources: OCI image-spec v1.1 ("Image Manifest", "Image Index", "Image Configuration") and Docker's older
//! "Image Manifest V 2, Schema 2", whose documents differ in their media types only.

use std::collections::BTreeMap;

use model::Digest;
use serde::Deserialize;

use crate::config::{Architecture, Limits};
use crate::image::ImageConfig;

/// The media types of manifests and indexes that are asked for.
pub(crate) const MANIFEST_TYPES: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// The beginnings of the media types of layers that are archives.
const LAYER_TYPES: [&str; 4] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
];

/// The annotation that names an image in a layout.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The largest document, in bytes; registries take manifests up to 4 MiB.
pub(crate) const MAX_DOCUMENT: u64 = 8 << 20;

/// Why an image's documents are refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecError {
    #[error("its {what} is not the JSON it should be")]
    Json {
        what: &'static str,
        source: serde_json::Error,
    },
    #[error("its manifest claims to be an index as well")]
    Ambiguous,
    #[error("its manifest is neither an image nor an index; Docker's schema 1 is no longer supported")]
    Unknown,
    #[error("its indexes are nested too deeply")]
    Nested,
    #[error("it is not a container image but {0:?}")]
    NotAnImage(String),
    #[error("it has a layer of type {0:?}")]
    LayerType(String),
    #[error("it has {layers} layers and {diff_ids} diff ids")]
    LayerCount { layers: usize, diff_ids: usize },
    #[error("it has {layers} layers, the limit is {limit}")]
    TooManyLayers { layers: usize, limit: usize },
    #[error("one of its parts has {size} bytes, the limit is {limit}")]
    TooLarge { size: u64, limit: u64 },
}

/// A reference to content.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    media_type: Option<String>,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    platform: Option<Platform>,
}

/// For which machine an index's entry is.
#[derive(Debug, Clone, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
    #[serde(default)]
    variant: Option<String>,
}

impl Descriptor {
    /// The name it has in a layout.
    pub(crate) fn tag(&self) -> Option<&str> {
        self.annotations.as_ref()?.get(REF_NAME).map(String::as_str)
    }

    /// How well it fits a machine, less is better; `None` if it does not. One that says nothing may fit.
    fn distance(&self, architecture: Architecture) -> Option<u8> {
        let Some(platform) = &self.platform else {
            return Some(2);
        };
        let fits = platform.os == "linux" && platform.architecture == architecture.as_str();
        let baseline = match architecture {
            Architecture::Amd64 => "v1",
            Architecture::Arm64 => "v8",
        };
        match platform.variant.as_deref() {
            _ if !fits => None,
            None | Some("") => Some(0),
            Some(variant) if variant == baseline => Some(1),
            Some(_) => None,
        }
    }

    fn platform(&self) -> Option<String> {
        let platform = self.platform.as_ref()?;
        // Builders mark their attestations so.
        (platform.os != "unknown").then(|| match &platform.variant {
            Some(variant) => format!("{}/{}/{variant}", platform.os, platform.architecture),
            None => format!("{}/{}", platform.os, platform.architecture),
        })
    }
}

/// Those that fit a machine, best first.
pub(crate) fn fitting<'a>(
    entries: impl IntoIterator<Item = &'a Descriptor>,
    architecture: Architecture,
) -> Vec<&'a Descriptor> {
    let known = entries
        .into_iter()
        .filter_map(|entry| Some((entry.distance(architecture)?, entry)));
    let mut fitting: Vec<_> = known.collect();
    fitting.sort_by_key(|&(distance, _)| distance);
    fitting.into_iter().map(|(_, entry)| entry).collect()
}

/// For which platforms there are entries.
pub(crate) fn platforms<'a>(entries: impl IntoIterator<Item = &'a Descriptor>) -> Vec<String> {
    entries.into_iter().filter_map(Descriptor::platform).collect()
}

/// A manifest or an index.
#[derive(Debug)]
pub(crate) enum Document {
    Index(Vec<Descriptor>),
    Manifest(Manifest),
}

/// An image's manifest.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct RawDocument {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

impl Document {
    /// Reads either, by what it contains. One that contains both is refused: programs could disagree on it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, SpecError> {
        let raw: RawDocument = json("manifest", bytes)?;
        match (raw.manifests, raw.config, raw.layers) {
            (Some(entries), None, None) => Ok(Self::Index(entries)),
            (None, Some(config), Some(layers)) => Ok(Self::Manifest(Manifest { config, layers })),
            (Some(_), _, _) => Err(SpecError::Ambiguous),
            (None, _, _) => Err(SpecError::Unknown),
        }
    }
}

/// One layer: its blob, and the digest of the archive inside.
#[derive(Debug, Clone)]
pub(crate) struct LayerInfo {
    pub(crate) blob: Descriptor,
    pub(crate) diff_id: Digest,
}

#[derive(Deserialize)]
struct RawConfig {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: Option<RawProcess>,
    rootfs: RawRootfs,
}

#[derive(Deserialize)]
struct RawRootfs {
    diff_ids: Option<Vec<Digest>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawProcess {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    stop_signal: Option<String>,
    volumes: Option<BTreeMap<String, serde_json::Value>>,
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    labels: Option<BTreeMap<String, String>>,
}

/// Reads an image's configuration and pairs its layers with their diff ids.
pub(crate) fn image(
    manifest: &Manifest,
    config: &[u8],
    limits: &Limits,
) -> Result<(ImageConfig, Vec<LayerInfo>), SpecError> {
    if let Some(other) = manifest
        .config
        .media_type
        .as_deref()
        .filter(|media_type| !is_config(media_type))
    {
        return Err(SpecError::NotAnImage(other.to_owned()));
    }
    let raw: RawConfig = json("configuration", config)?;
    let diff_ids = raw.rootfs.diff_ids.unwrap_or_default();
    let layers = &manifest.layers;
    if layers.len() != diff_ids.len() {
        return Err(SpecError::LayerCount {
            layers: layers.len(),
            diff_ids: diff_ids.len(),
        });
    }
    if layers.len() > limits.layers {
        return Err(SpecError::TooManyLayers {
            layers: layers.len(),
            limit: limits.layers,
        });
    }
    let layers = layers
        .iter()
        .zip(diff_ids)
        .map(|(blob, diff_id)| layer(blob, diff_id, limits));
    let process = raw.config.unwrap_or_default();
    let said = |text: Option<String>| text.filter(|text| !text.is_empty());
    let config = ImageConfig {
        user: said(process.user),
        env: process.env.unwrap_or_default(),
        entrypoint: process.entrypoint.unwrap_or_default(),
        cmd: process.cmd.unwrap_or_default(),
        working_dir: said(process.working_dir),
        stop_signal: said(process.stop_signal),
        volumes: process.volumes.unwrap_or_default().into_keys().collect(),
        exposed_ports: process.exposed_ports.unwrap_or_default().into_keys().collect(),
        labels: process.labels.unwrap_or_default(),
        architecture: raw.architecture,
        os: raw.os,
    };
    Ok((config, layers.collect::<Result<_, _>>()?))
}

fn layer(blob: &Descriptor, diff_id: Digest, limits: &Limits) -> Result<LayerInfo, SpecError> {
    if let Some(media_type) = &blob.media_type
        && !LAYER_TYPES.iter().any(|known| media_type.starts_with(known))
    {
        return Err(SpecError::LayerType(media_type.clone()));
    }
    if blob.size > limits.blob_bytes {
        return Err(SpecError::TooLarge {
            size: blob.size,
            limit: limits.blob_bytes,
        });
    }
    Ok(LayerInfo {
        blob: blob.clone(),
        diff_id,
    })
}

fn is_config(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json" | ""
    )
}

fn json<'a, T: Deserialize<'a>>(what: &'static str, bytes: &'a [u8]) -> Result<T, SpecError> {
    serde_json::from_slice(bytes).map_err(|source| SpecError::Json { what, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(platform: &str) -> Descriptor {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let text = format!(r#"{{"digest":"{digest}","size":1,"platform":{platform}}}"#);
        serde_json::from_str(&text).expect("a descriptor")
    }

    #[test]
    fn the_baseline_is_preferred_and_strangers_are_not_taken() {
        let entries = [
            descriptor(r#"{"os":"windows","architecture":"amd64"}"#),
            descriptor(r#"{"os":"linux","architecture":"amd64","variant":"v3"}"#),
            descriptor(r#"{"os":"linux","architecture":"amd64","variant":"v1"}"#),
            descriptor(r#"{"os":"linux","architecture":"amd64"}"#),
            descriptor(r#"{"os":"unknown","architecture":"unknown"}"#),
        ];
        let fitting = fitting(&entries, Architecture::Amd64);
        assert_eq!(fitting.len(), 2);
        assert!(std::ptr::eq(fitting[0], &entries[3]));
        assert!(super::fitting(&entries, Architecture::Arm64).is_empty());
        assert_eq!(platforms(&entries).len(), 4);
    }

    #[test]
    fn a_document_is_one_thing_only() {
        let digest = format!(r#"{{"digest":"sha256:{}","size":1}}"#, "ab".repeat(32));
        let both = format!(r#"{{"manifests":[],"config":{digest},"layers":[]}}"#);
        assert!(matches!(
            Document::parse(both.as_bytes()),
            Err(SpecError::Ambiguous)
        ));
        assert!(matches!(
            Document::parse(b"{\"schemaVersion\":1,\"fsLayers\":[]}"),
            Err(SpecError::Unknown)
        ));
        assert!(matches!(
            Document::parse(b"{\"manifests\":[]}"),
            Ok(Document::Index(_))
        ));
    }

    #[test]
    fn nulls_mean_nothing_as_docker_writes_them() {
        let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":null},
            "config":{"User":"","Env":null,"Cmd":["sh"],"Volumes":{"/data":{}},"Labels":null}}"#;
        let manifest = Manifest {
            config: descriptor("null"),
            layers: Vec::new(),
        };
        let (config, layers) = image(&manifest, config, &Limits::default()).expect("an image");
        assert_eq!(
            (config.user, config.cmd, config.volumes),
            (None, vec!["sh".into()], vec!["/data".into()])
        );
        assert!(layers.is_empty());
    }
}
