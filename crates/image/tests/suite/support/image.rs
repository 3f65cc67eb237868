//! Images made in memory: blobs, configuration, manifest.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use model::Digest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// How a layer is packed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstd,
    Plain,
}

/// A finished image.
#[derive(Clone)]
pub(crate) struct Built {
    /// Everything but the manifest, layers first, in order.
    pub(crate) blobs: Vec<(Digest, Vec<u8>)>,
    pub(crate) manifest: Vec<u8>,
    pub(crate) digest: Digest,
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest::from_sha256(Sha256::digest(bytes).into())
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn pack(tar: &[u8], packing: Packing) -> (Vec<u8>, &'static str) {
    match packing {
        // Some builders write a member per chunk, some end with a frame that readers skip.
        Packing::Gzip => {
            let (start, end) = tar.split_at(tar.len() / 2);
            (
                [gzip(start), gzip(end)].concat(),
                "application/vnd.oci.image.layer.v1.tar+gzip",
            )
        }
        Packing::Zstd => {
            let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat();
            let packed = zstd::encode_all(tar, 3).expect("memory");
            (
                [&packed[..], &skipped].concat(),
                "application/vnd.oci.image.layer.v1.tar+zstd",
            )
        }
        Packing::Plain => (tar.to_vec(), "application/vnd.oci.image.layer.v1.tar"),
    }
}

/// An image for `linux/amd64`.
pub(crate) fn image(layers: &[(Vec<u8>, Packing)]) -> Built {
    let config = json!({ "Env": ["A=b"], "Cmd": ["/bin/sh"], "User": "7", "WorkingDir": "/srv" });
    custom(
        layers,
        &json!({ "architecture": "amd64", "os": "linux", "config": config }),
    )
}

/// An image of gzipped layers.
pub(crate) fn gzipped(layers: &[Vec<u8>]) -> Built {
    image(
        &layers
            .iter()
            .map(|tar| (tar.clone(), Packing::Gzip))
            .collect::<Vec<_>>(),
    )
}

/// An image with a configuration of one's own; its diff ids are filled in unless they are there.
pub(crate) fn custom(layers: &[(Vec<u8>, Packing)], config: &Value) -> Built {
    let mut config = config.clone();
    if config.get("rootfs").is_none() {
        let diff_ids: Vec<_> = layers.iter().map(|(tar, _)| digest(tar).to_string()).collect();
        config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
    }
    let mut blobs = Vec::new();
    let mut put = |bytes: Vec<u8>, media_type: &str| {
        let descriptor =
            json!({ "mediaType": media_type, "digest": digest(&bytes).to_string(), "size": bytes.len() });
        blobs.push((digest(&bytes), bytes));
        descriptor
    };
    let layers: Vec<_> = layers
        .iter()
        .map(|(tar, packing)| {
            let (bytes, media_type) = pack(tar, *packing);
            put(bytes, media_type)
        })
        .collect();
    let config = put(
        config.to_string().into_bytes(),
        "application/vnd.oci.image.config.v1+json",
    );
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers });
    let manifest = manifest.to_string().into_bytes();
    Built {
        blobs,
        digest: digest(&manifest),
        manifest,
    }
}

/// Writes an OCI layout that holds these images by tag.
pub(crate) fn layout(directory: &Path, images: &[(&str, &Built)]) {
    let blobs = directory.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("the layout");
    let mut entries = Vec::new();
    for (tag, image) in images {
        for (digest, bytes) in &image.blobs {
            std::fs::write(blobs.join(digest.hex()), bytes).expect("a blob");
        }
        std::fs::write(blobs.join(image.digest.hex()), &image.manifest).expect("the manifest");
        entries.push(json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": image.digest.to_string(),
            "size": image.manifest.len(),
            "annotations": { "org.opencontainers.image.ref.name": tag },
        }));
    }
    std::fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("the layout");
    let index = json!({ "schemaVersion": 2, "manifests": entries }).to_string();
    std::fs::write(directory.join("index.json"), index).expect("the index");
}
