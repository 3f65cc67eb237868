//! A tar of a root file system as an OCI layout with one gzip layer (image-spec v1.1, "OCI Image Layout").
//!
//! The layout is written into a directory that must not exist yet, so a cut run leaves nothing that looks whole.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Make an OCI layout of a tar
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The root file system
    #[arg(long)]
    tar: PathBuf,
    /// The name the image has in the layout
    #[arg(long, default_value = "latest")]
    tag: String,
    /// The image's command (repeatable, a word each)
    #[arg(long = "cmd")]
    cmd: Vec<String>,
    /// The layout's directory; must not exist
    directory: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum LayoutError {
    #[error("failed to read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("failed to write {path}")]
    Write { path: PathBuf, source: io::Error },
}

/// Writes the layout.
pub(crate) fn run(args: &Args) -> Result<(), LayoutError> {
    let blobs = args.directory.join("blobs/sha256");
    let writing = |source| LayoutError::Write {
        path: args.directory.clone(),
        source,
    };
    if args.directory.exists() {
        return Err(writing(io::ErrorKind::AlreadyExists.into()));
    }
    fs::create_dir_all(&blobs).map_err(writing)?;
    let layer = layer(&args.tar, &blobs)?;
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": args.cmd,
        },
        "rootfs": { "type": "layers", "diff_ids": [layer.diff_id] },
    });
    let config = blob(&blobs, &config, "application/vnd.oci.image.config.v1+json")?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": layer.digest,
            "size": layer.size,
        }],
    });
    let mut manifest = blob(&blobs, &manifest, "application/vnd.oci.image.manifest.v1+json")?;
    if let Some(fields) = manifest.as_object_mut() {
        fields.insert(
            "annotations".into(),
            json!({ "org.opencontainers.image.ref.name": args.tag }),
        );
    }
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    write(
        &args.directory.join("oci-layout"),
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    write(&args.directory.join("index.json"), index.to_string().as_bytes())
}

struct Layer {
    digest: String,
    diff_id: String,
    size: u64,
}

fn layer(tar: &Path, blobs: &Path) -> Result<Layer, LayoutError> {
    let reading = |source| LayoutError::Read {
        path: tar.to_owned(),
        source,
    };
    let beside = blobs.join("layer.new");
    let writing = |source| LayoutError::Write {
        path: beside.clone(),
        source,
    };
    let mut input = BufReader::new(File::open(tar).map_err(reading)?);
    let output = Hashing {
        to: BufWriter::new(File::create(&beside).map_err(writing)?),
        hash: Sha256::new(),
        size: 0,
    };
    let mut gzip = GzEncoder::new(output, Compression::new(6));
    let mut diff_id = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = input.read(&mut buffer).map_err(reading)?;
        let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else {
            break;
        };
        diff_id.update(chunk);
        gzip.write_all(chunk).map_err(writing)?;
    }
    let mut output = gzip.finish().map_err(writing)?;
    output.flush().map_err(writing)?;
    let digest = hex(&output.hash.finalize());
    let path = blobs.join(&digest);
    fs::rename(&beside, &path).map_err(|source| LayoutError::Write { path, source })?;
    Ok(Layer {
        digest: format!("sha256:{digest}"),
        diff_id: format!("sha256:{}", hex(&diff_id.finalize())),
        size: output.size,
    })
}

/// Hashes and counts what passes through.
struct Hashing<W> {
    to: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Writes a JSON blob and gives its descriptor.
fn blob(blobs: &Path, value: &Value, media_type: &str) -> Result<Value, LayoutError> {
    let bytes = value.to_string().into_bytes();
    let digest = hex(&Sha256::digest(&bytes));
    write(&blobs.join(&digest), &bytes)?;
    Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() }))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), LayoutError> {
    fs::write(path, bytes).map_err(|source| LayoutError::Write {
        path: path.to_owned(),
        source,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
