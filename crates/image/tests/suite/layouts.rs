//! OCI layouts, and the cache around them.

use std::process::Command;

use model::ReasonCode;

use crate::support::image::{gzipped, layout};
use crate::support::tar::Tar;
use crate::support::{Cache, is_root, layout_ref};

fn small(text: &str) -> crate::support::image::Built {
    gzipped(&[Tar::default().file("name", text.as_bytes()).end()])
}

#[tokio::test]
async fn a_tag_is_needed_only_where_there_is_a_choice() {
    let (one, two) = (small("one"), small("two"));
    let directory = tempfile::tempdir().expect("a directory");
    let cache = Cache::new();
    layout(directory.path(), &[("one", &one)]);
    let image = cache
        .pull(&layout_ref(directory.path(), None))
        .await
        .expect("the only image");
    assert_eq!(image.digest, one.digest);
    layout(directory.path(), &[("one", &one), ("two", &two)]);
    let image = cache
        .pull(&layout_ref(directory.path(), Some("two")))
        .await
        .expect("the one with the tag");
    assert_eq!(image.digest, two.digest);
    let several = cache.refusal(&layout_ref(directory.path(), None)).await;
    assert_eq!(several.code, ReasonCode::ImageInvalid);
    assert!(several.message.contains("one, two"), "{several}");
    let missing = cache.refusal(&layout_ref(directory.path(), Some("three"))).await;
    assert_eq!(missing.code, ReasonCode::ImageNotFound, "{missing}");
    let nowhere = cache
        .refusal(&layout_ref(&directory.path().join("nowhere"), None))
        .await;
    assert_eq!(nowhere.code, ReasonCode::ImageNotFound, "{nowhere}");
}

#[tokio::test]
async fn a_damaged_blob_is_noticed() {
    let built = gzipped(&[Tar::default().file("name", &[5; 100_000]).end()]);
    let directory = tempfile::tempdir().expect("a directory");
    layout(directory.path(), &[("v1", &built)]);
    let reference = layout_ref(directory.path(), None);
    let (digest, bytes) = &built.blobs[0];
    let blob = directory.path().join("blobs/sha256").join(digest.hex());
    let cache = Cache::new();
    std::fs::write(&blob, &bytes[..bytes.len() - 1]).expect("the blob");
    assert_eq!(cache.refusal(&reference).await.code, ReasonCode::LayerTruncated);
    let mut spoiled = bytes.clone();
    spoiled[20] ^= 0x40;
    std::fs::write(&blob, spoiled).expect("the blob");
    assert_eq!(cache.refusal(&reference).await.code, ReasonCode::DigestMismatch);
    std::fs::remove_file(&blob).expect("the blob");
    assert_eq!(cache.refusal(&reference).await.code, ReasonCode::ImageNotFound);
    std::fs::write(&blob, bytes).expect("the blob");
    cache.pull(&reference).await.expect("the mended image");
}

#[tokio::test]
async fn the_same_layers_give_the_same_bytes() {
    let built = small("same");
    let directory = tempfile::tempdir().expect("a directory");
    layout(directory.path(), &[("v1", &built)]);
    let mut contents = Vec::new();
    for _ in 0..2 {
        let cache = Cache::new();
        let image = cache
            .pull(&layout_ref(directory.path(), None))
            .await
            .expect("an image");
        contents.push(
            image
                .disks
                .iter()
                .map(|disk| std::fs::read(&disk.path).expect("a disk"))
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(contents[0], contents[1]);
}

#[tokio::test]
async fn forms_do_not_mix() {
    let built = gzipped(&["a", "b", "c"].map(|name| Tar::default().file(name, name.as_bytes()).end()));
    let directory = tempfile::tempdir().expect("a directory");
    layout(directory.path(), &[("v1", &built)]);
    let root = tempfile::tempdir().expect("a directory");
    for (max_disks, disks) in [(4, 4), (3, 1), (1, 1), (8, 4)] {
        let cache = Cache::at(root.path(), |config| config.max_disks = max_disks);
        let image = cache
            .pull(&layout_ref(directory.path(), None))
            .await
            .expect("an image");
        assert_eq!(image.disks.len(), disks, "at most {max_disks}");
    }
}

#[tokio::test]
async fn an_empty_image_is_one_disk() {
    let built = gzipped(&[Tar::default().end(), Tar::default().dir("only").end()]);
    let directory = tempfile::tempdir().expect("a directory");
    layout(directory.path(), &[("v1", &built)]);
    let image = Cache::new()
        .pull(&layout_ref(directory.path(), None))
        .await
        .expect("an image");
    assert_eq!(image.disks.len(), 1);
}

#[tokio::test]
async fn removing_and_sweeping_leave_an_empty_cache() {
    let (one, two) = (small("one"), small("two"));
    let directory = tempfile::tempdir().expect("a directory");
    layout(directory.path(), &[("one", &one), ("two", &two)]);
    let cache = Cache::new();
    let empty = cache.listing();
    for tag in ["one", "two"] {
        cache
            .pull(&layout_ref(directory.path(), Some(tag)))
            .await
            .expect("an image");
    }
    assert_eq!(
        cache.images.sweep().expect("a sweep").bytes(),
        0,
        "everything is needed"
    );
    assert!(cache.images.remove(&one.digest).expect("the cache"));
    assert!(!cache.images.remove(&one.digest).expect("the cache"));
    assert!(cache.images.sweep().expect("a sweep").bytes() > 0);
    assert_eq!(cache.images.list().expect("the cache").len(), 1);
    assert!(cache.images.get(&two.digest).expect("the cache").is_some());
    assert!(cache.images.remove(&two.digest).expect("the cache"));
    cache.images.sweep().expect("a sweep");
    assert_eq!(cache.listing(), empty);
}

#[tokio::test]
async fn what_a_dead_process_left_is_swept() {
    let cache = Cache::new();
    let empty = cache.listing();
    let left = cache.root.join("temporary/4194305-0");
    std::fs::create_dir(&left).expect("a directory");
    std::fs::write(left.join("data"), b"half").expect("a file");
    Cache::at(&cache.root, |_| {});
    assert_eq!(cache.listing(), empty);
}

#[tokio::test]
async fn a_damaged_layer_in_the_cache_is_taken_in_again() {
    let built = small("one");
    let directory = tempfile::tempdir().expect("a directory");
    layout(directory.path(), &[("v1", &built)]);
    let cache = Cache::new();
    let reference = layout_ref(directory.path(), None);
    let image = cache.pull(&reference).await.expect("an image");
    let disk = &image.disks[1].path;
    std::fs::write(disk.with_file_name("entries"), b"damaged").expect("the list");
    assert!(cache.images.remove(&image.digest).expect("the cache"));
    assert_eq!(cache.pull(&reference).await.expect("the image"), image);
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_nothing() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let noise: Vec<u8> = (0..6u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect();
    let large = gzipped(&[Tar::default().file("large", &noise).end()]);
    layout(directory.path(), &[("large", &large), ("small", &small("fits"))]);
    let full = tempfile::tempdir().expect("a directory");
    let mount = Mounted::tmpfs(full.path(), "size=4m");
    let cache = Cache::at(full.path(), |_| {});
    let reason = cache.refusal(&layout_ref(directory.path(), Some("large"))).await;
    assert_eq!(reason.code, ReasonCode::DiskFull, "{reason}");
    cache
        .pull(&layout_ref(directory.path(), Some("small")))
        .await
        .expect("a small image still fits");
    mount.resize("size=32m");
    cache
        .pull(&layout_ref(directory.path(), Some("large")))
        .await
        .expect("with space it works");
}

/// A mount that ends with the value.
struct Mounted<'a>(&'a std::path::Path);

impl<'a> Mounted<'a> {
    fn tmpfs(at: &'a std::path::Path, options: &str) -> Self {
        crate::support::mount::run(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", options, "tmpfs"])
                .arg(at),
        );
        Self(at)
    }

    fn resize(&self, size: &str) {
        crate::support::mount::run(
            Command::new("mount")
                .args(["-o", &format!("remount,{size}")])
                .arg(self.0),
        );
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        crate::support::mount::run(Command::new("umount").arg("-l").arg(self.0));
    }
}
