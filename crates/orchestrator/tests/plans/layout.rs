//! Images for hosts whose machines need a root filesystem.

use std::fs;
use std::path::Path;

use model::Digest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Writes an OCI layout with an image of no layers, whose working directory is `working_dir`. Gives its manifest.
pub(crate) fn write(directory: &Path, working_dir: &str) -> Digest {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "WorkingDir": working_dir },
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    fs::create_dir_all(directory.join("blobs/sha256")).unwrap();
    let config = blob(directory, "application/vnd.oci.image.config.v1+json", &config);
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [] });
    let manifest = blob(directory, "application/vnd.oci.image.manifest.v1+json", &manifest);
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(directory.join("index.json"), index.to_string()).unwrap();
    manifest["digest"].as_str().unwrap().parse().unwrap()
}

/// Writes a blob and gives its descriptor.
fn blob(directory: &Path, media_type: &str, content: &Value) -> Value {
    let content = content.to_string();
    let digest = Digest::from_sha256(Sha256::digest(&content).into());
    fs::write(directory.join("blobs/sha256").join(digest.hex()), &content).unwrap();
    json!({ "mediaType": media_type, "digest": digest.to_string(), "size": content.len() })
}
