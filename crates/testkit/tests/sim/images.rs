//! Hosts whose machines need a root filesystem: the image is really taken in, and the disk really made (mke2fs).

use std::fs;
use std::io::Write;
use std::path::Path;

use driver::Needs;
use model::{Digest, Status};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use testkit::{Cloud, until};

use crate::support::{expect, expect_error, gone, record, remove, start, stop, traces, wish};

async fn cloud() -> Cloud {
    let needs = Needs {
        root_filesystem: true,
        tap: true,
        ..Needs::default()
    };
    Cloud::start_needing(needs, 1).await.unwrap()
}

/// Writes an OCI layout with an image of no layers, whose working directory is `working_dir`. Gives its manifest.
fn layout(directory: &Path, working_dir: &str) -> Digest {
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

async fn ask_from(cloud: &Cloud, name: &str, directory: &Path) {
    let asked = api::CreateVm {
        image: format!("oci:{}", directory.display()),
        disk_bytes: Some(64 << 20),
        ..wish(name)
    };
    cloud.client().unwrap().vm_create(&asked).await.unwrap();
}

#[tokio::test]
async fn a_vm_keeps_image_and_disk_although_its_memory_is_damaged() {
    let images = tempfile::tempdir().unwrap();
    let digest = layout(images.path(), "/srv").to_string();
    let mut cloud = cloud().await;
    let clean = traces(&cloud.hosts[0]);
    ask_from(&cloud, "web", images.path()).await;
    let vm = expect(&cloud, "web", Status::Running).await;
    assert_eq!(vm.image_digest.as_ref(), Some(&digest));
    let sim = cloud.hosts[0].sim.clone();
    let disks = sim.spec(vm.id).unwrap().disks;
    assert!(disks[0].read_only && !disks[1].read_only, "{disks:?}");
    let written = b"what the VM wrote";
    let mut disk = fs::OpenOptions::new().write(true).open(&disks[1].path).unwrap();
    disk.write_all(written).unwrap();
    drop(disk);

    let host = &mut cloud.hosts[0];
    host.end().await;
    sim.forget_everything();
    fs::write(record(host, vm.id), "").unwrap();
    host.begin().await.unwrap();
    expect_error(&cloud, "web", "state_damaged").await;
    start(&cloud, "web").await;
    let vm = expect(&cloud, "web", Status::Running).await;
    assert_eq!(vm.image_digest.as_ref(), Some(&digest));
    assert_eq!(sim.spec(vm.id).unwrap().disks, disks);
    assert!(fs::read(&disks[1].path).unwrap().starts_with(written));
    remove(&cloud, "web").await;
    assert_eq!(traces(&cloud.hosts[0]), clean);
}

#[tokio::test]
async fn a_tag_is_resolved_once_and_stopped_vms_need_no_image_source() {
    let images = tempfile::tempdir().unwrap();
    let first = layout(images.path(), "/one").to_string();
    let cloud = cloud().await;
    ask_from(&cloud, "old", images.path()).await;
    expect(&cloud, "old", Status::Running).await;
    let second = layout(images.path(), "/two").to_string();
    ask_from(&cloud, "new", images.path()).await;
    expect(&cloud, "new", Status::Running).await;
    stop(&cloud, "old").await;
    expect(&cloud, "old", Status::Stopped).await;
    drop(images);
    start(&cloud, "old").await;
    let old = expect(&cloud, "old", Status::Running).await;
    let new = expect(&cloud, "new", Status::Running).await;
    assert_eq!((old.image_digest, new.image_digest), (Some(first), Some(second)));
}

#[tokio::test]
async fn a_missing_image_is_told_and_disturbs_nobody() {
    let images = tempfile::tempdir().unwrap();
    let cloud = cloud().await;
    let host = &cloud.hosts[0];
    let clean = traces(host);
    ask_from(&cloud, "web", &images.path().join("nowhere")).await;
    let client = cloud.client().unwrap();
    let told = |vm: &api::Vm| vm.status.known() == Some(Status::Error);
    let vm = until("it is an error", || client.vm_get("web"), told)
        .await
        .unwrap();
    let reason = vm.reason.unwrap();
    assert!(
        reason.code.starts_with("image_") && !reason.hint.is_empty(),
        "{reason:?}"
    );
    layout(images.path(), "/");
    ask_from(&cloud, "other", images.path()).await;
    expect(&cloud, "other", Status::Running).await;
    for name in ["web", "other"] {
        client.vm_delete(name).await.unwrap();
        gone(&cloud, name).await;
    }
    assert_eq!(traces(host), clean);
    assert_eq!(host.sim.starts(), 1);
}
