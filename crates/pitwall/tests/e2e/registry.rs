//! Images for tests: Debian's real registry, and layouts that are whole or spoilt.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::env::{Host, debian, run, until};

/// Debian's `docker-registry` on the host's loopback.
pub(crate) struct Registry {
    process: Child,
    _storage: TempDir,
}

impl Registry {
    pub(crate) const ADDRESS: &str = "127.0.0.1:5000";

    /// Starts it in the namespace of `host` and puts the Debian image into it as `debian:latest`.
    pub(crate) fn with_debian(host: &Host) -> Self {
        Self::start(host, None)
    }

    /// The same for one user alone, by name, password, and the password's bcrypt hash.
    pub(crate) fn private(host: &Host, user: [&str; 3]) -> Self {
        Self::start(host, Some(user))
    }

    fn start(host: &Host, user: Option<[&str; 3]>) -> Self {
        let storage = tempfile::tempdir().unwrap();
        let configuration = storage.path().join("config.yml");
        let mut text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {}\n",
            storage.path().join("data").display(),
            Self::ADDRESS
        );
        if let Some([name, _, hash]) = user {
            let users = storage.path().join("htpasswd");
            std::fs::write(&users, format!("{name}:{hash}\n")).unwrap();
            let users = users.display();
            text += &format!("auth:\n  htpasswd:\n    realm: e2e\n    path: {users}\n");
        }
        std::fs::write(&configuration, text).unwrap();
        let process = host
            .command("docker-registry")
            .arg("serve")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("the registry answers", Duration::from_secs(60), || {
            let curl = host
                .command("curl")
                .args(["-s", &format!("http://{}/v2/", Self::ADDRESS)])
                .output()
                .unwrap();
            curl.status.success().then_some(())
        });
        let mut skopeo = host.command("skopeo");
        skopeo.args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]);
        if let Some([name, password, _]) = user {
            skopeo.args(["--dest-creds", &format!("{name}:{password}")]);
        }
        let copied = skopeo
            .args([&debian(), &format!("docker://{}/debian:latest", Self::ADDRESS)])
            .output()
            .unwrap();
        assert!(copied.status.success(), "{}", crate::env::text(&copied));
        Self {
            process,
            _storage: storage,
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A copy of the Debian layout that a test may spoil.
pub(crate) fn spoilt(directory: &std::path::Path, spoil: impl FnOnce(&std::path::Path)) -> String {
    let from = debian();
    let from = from
        .trim_start_matches("oci:")
        .trim_end_matches(":latest")
        .to_owned();
    run("cp", &["-r", &from, &directory.display().to_string()]);
    spoil(directory);
    format!("oci:{}", directory.display())
}

/// The blob of a layout that is the layer: the largest.
pub(crate) fn layer(layout: &std::path::Path) -> std::path::PathBuf {
    let blobs = std::fs::read_dir(layout.join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    blobs.max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

/// A layout whose image is for other processors. The digests are right.
pub(crate) fn foreign(directory: &std::path::Path) -> String {
    let config =
        r#"{"architecture":"s390x","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#;
    layout(directory, config, "[]")
}

/// A layout with one static program and nothing else.
pub(crate) fn one_program(directory: &std::path::Path) -> String {
    let root = directory.with_extension("root");
    std::fs::create_dir_all(&root).unwrap();
    let source = root.with_extension("rs");
    std::fs::write(
        &source,
        r#"fn main() { println!("all alone"); std::process::exit(3) }"#,
    )
    .unwrap();
    let built = Command::new("rustc")
        .args([
            "-C",
            "target-feature=+crt-static",
            "-C",
            "relocation-model=static",
            "-o",
        ])
        .arg(root.join("program"))
        .arg(&source)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", crate::env::text(&built));
    of_root(directory, &root)
}

/// A layout with a static busybox and a shell, in so many layers. Each but the lowest has a file `/layers/NUMBER` that holds its number.
pub(crate) fn layered(directory: &std::path::Path, count: u32) -> String {
    let mut layers = vec![pack(directory, &busybox_root(directory))];
    for number in 1..count {
        let root = directory.with_extension(format!("root{number}"));
        std::fs::create_dir_all(root.join("layers")).unwrap();
        std::fs::write(root.join(format!("layers/{number}")), format!("{number}\n")).unwrap();
        layers.push(pack(directory, &root));
    }
    of_layers(directory, &json!({}), &layers)
}

/// A layout whose layers hold these directories, the lowest first, and whose image has this `config` (OCI image-spec).
pub(crate) fn configured(
    directory: &std::path::Path,
    config: &serde_json::Value,
    roots: &[std::path::PathBuf],
) -> String {
    let layers: Vec<_> = roots.iter().map(|root| pack(directory, root)).collect();
    of_layers(directory, config, &layers)
}

pub(crate) fn busybox_root(directory: &std::path::Path) -> std::path::PathBuf {
    let root = directory.with_extension("root");
    let bin = root.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
    for name in ["sh", "cat", "dmesg", "sync", "tty", "poweroff"] {
        std::os::unix::fs::symlink("busybox", bin.join(name)).unwrap();
    }
    root
}

/// A layout with one layer, which holds this directory.
fn of_root(directory: &std::path::Path, root: &std::path::Path) -> String {
    of_layers(directory, &json!({}), &[pack(directory, root)])
}

/// A layer's digest and its bytes.
struct Layer {
    digest: String,
    size: u64,
}

/// The layer that holds this directory, put into the layout.
fn pack(directory: &std::path::Path, root: &std::path::Path) -> Layer {
    let tar = directory.with_extension("tar");
    run(
        "tar",
        &[
            "-C",
            &root.display().to_string(),
            "-cf",
            &tar.display().to_string(),
            ".",
        ],
    );
    let digest = sha256(&tar);
    let blobs = directory.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let size = std::fs::copy(&tar, blobs.join(&digest)).unwrap();
    Layer { digest, size }
}

/// A layout with these layers, the lowest first.
fn of_layers(directory: &std::path::Path, config: &serde_json::Value, layers: &[Layer]) -> String {
    let architecture = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    let list = |each: &dyn Fn(&Layer) -> String| layers.iter().map(each).collect::<Vec<_>>().join(",");
    let ids = list(&|layer| format!(r#""sha256:{}""#, layer.digest));
    let config = format!(
        r#"{{"architecture":"{architecture}","os":"linux","config":{config},"rootfs":{{"type":"layers","diff_ids":[{ids}]}}}}"#
    );
    let descriptors = list(&|layer| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:{}","size":{}}}"#,
            layer.digest, layer.size
        )
    });
    layout(directory, &config, &format!("[{descriptors}]"))
}

fn layout(directory: &std::path::Path, config: &str, layers: &str) -> String {
    let blobs = directory.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let blob = |text: &str| {
        let beside = blobs.join("new");
        std::fs::write(&beside, text).unwrap();
        let digest = sha256(&beside);
        std::fs::rename(&beside, blobs.join(&digest)).unwrap();
        (digest, text.len())
    };
    let (config, config_size) = blob(config);
    let (manifest, manifest_size) = blob(&format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{config}","size":{config_size}}},"layers":{layers}}}"#
    ));
    std::fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{manifest}","size":{manifest_size}}}]}}"#
    );
    std::fs::write(directory.join("index.json"), index).unwrap();
    format!("oci:{}", directory.display())
}

fn sha256(path: &std::path::Path) -> String {
    run("sha256sum", &[&path.display().to_string()])
        .split(' ')
        .next()
        .unwrap()
        .to_owned()
}
