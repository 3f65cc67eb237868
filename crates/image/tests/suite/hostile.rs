//! Images that mean harm or are broken: refused with a reason, nothing left, nothing written elsewhere.

use model::ReasonCode;
use serde_json::json;

use crate::support::image::{Built, Packing, custom, gzip, gzipped, image, layout};
use crate::support::tar::{Header, Tar};
use crate::support::{Cache, layout_ref};

async fn refusal(built: &Built) -> model::Reason {
    let directory = tempfile::tempdir().expect("a directory");
    layout(directory.path(), &[("v1", built)]);
    Cache::new()
        .refusal(&layout_ref(directory.path(), Some("v1")))
        .await
}

#[tokio::test]
async fn names_that_leave_the_tree_are_refused() {
    let named = |name: &[u8]| {
        Tar::default()
            .put(
                &Header {
                    name: name.to_vec(),
                    ..Header::default()
                },
                b"x",
            )
            .end()
    };
    for layer in [
        named(b"../escape"),
        named(b"/../escape"),
        named(b"a/../../escape"),
        named(b"a/.wh..."),
        named(b".wh."),
        named(b""),
        Tar::default().pax(&[("path", b"a\0b")]).file("x", b"").end(),
        Tar::default().link("x", "../../etc/passwd").end(),
        Tar::default().link("x", "/etc/passwd").end(),
        Tar::default().dir("d").link("x", "d").end(),
        Tar::default().symlink("l", "/etc").link("x", "l/passwd").end(),
        Tar::default().symlink("l", "").end(),
        Tar::default()
            .file(&"n".repeat(100), b"")
            .gnu_long(b'L', &[b'n'; 256])
            .file("x", b"")
            .end(),
        Tar::default().file("/", b"the root is a directory").end(),
    ] {
        let reason = refusal(&gzipped(&[layer])).await;
        assert_eq!(reason.code, ReasonCode::ImageInvalid, "{reason}");
    }
}

#[tokio::test]
async fn broken_archives_are_refused() {
    let odd = |change: fn(&mut Header)| {
        let mut header = Header {
            name: b"x".to_vec(),
            ..Header::default()
        };
        change(&mut header);
        Tar::default().put(&header, b"garbage").end()
    };
    let header = Header {
        name: b"x".to_vec(),
        ..Header::default()
    };
    let long = vec![b'x'; 2 << 20];
    let cases = [
        odd(|header| header.kind = b'M'),
        odd(|header| header.uid = -1),
        odd(|header| header.uid = 1 << 33),
        odd(|header| (header.kind, header.device) = (b'3', (4096, 0))),
        odd(|header| header.kind = b'x'),
        Tar::default().raw(&header, 0, |block| block[124] = b'9').end(),
        Tar::default().gnu_long(b'L', &long).file("x", b"").end(),
        b"this is no archive".repeat(100),
    ];
    for layer in cases {
        let reason = refusal(&gzipped(&[layer])).await;
        assert_eq!(reason.code, ReasonCode::ImageInvalid, "{reason}");
    }
}

#[tokio::test]
async fn layers_that_end_too_early_are_refused() {
    let whole = Tar::default().file("x", &[1; 5000]).end();
    let cut = gzipped(&[whole[..3000].to_vec()]);
    // Its configuration knows the archive, but its compressed data was cut before it was digested.
    let half = gzip(&whole);
    let half = half[..half.len() / 2].to_vec();
    let diff_ids =
        json!({ "type": "layers", "diff_ids": [crate::support::image::digest(&whole).to_string()] });
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": diff_ids });
    let unpacked_short = refusal(&cut).await;
    assert!(
        matches!(
            unpacked_short.code,
            ReasonCode::ImageInvalid | ReasonCode::LayerTruncated
        ),
        "{unpacked_short}"
    );
    let reason = refusal(&custom(&[(half, Packing::Plain)], &config)).await;
    assert_eq!(reason.code, ReasonCode::LayerTruncated, "{reason}");
}

#[tokio::test]
async fn documents_that_are_not_an_image_are_refused() {
    let platform = json!({ "architecture": "amd64", "os": "linux" });
    let mut chart = custom(&[], &platform);
    let text = String::from_utf8(chart.manifest.clone()).expect("text");
    chart.manifest = text.replace("image.config", "helm.config").into_bytes();
    chart.digest = crate::support::image::digest(&chart.manifest);
    let two_ids = json!({ "type": "layers", "diff_ids": [] });
    let uneven = custom(
        &[(Tar::default().end(), Packing::Gzip)],
        &json!({ "architecture": "amd64", "os": "linux", "rootfs": two_ids }),
    );
    for built in [chart, uneven] {
        let reason = refusal(&built).await;
        assert_eq!(reason.code, ReasonCode::ImageInvalid, "{reason}");
    }
}

#[tokio::test]
async fn limits_hold() {
    let built = image(&[(
        Tar::default().file("a", &[0; 100_000]).file("b", b"").end(),
        Packing::Gzip,
    )]);
    let directory = tempfile::tempdir().expect("a directory");
    layout(directory.path(), &[("v1", &built)]);
    type Change = fn(&mut ::image::Limits);
    let changes: [Change; 5] = [
        |limits| limits.layers = 0,
        |limits| limits.blob_bytes = 10,
        |limits| limits.unpacked_bytes = 99_999,
        |limits| limits.entries = 1,
        |limits| limits.metadata_bytes = 1,
    ];
    for change in changes {
        let root = tempfile::tempdir().expect("a directory");
        let cache = Cache::at(root.path(), |config| change(&mut config.limits));
        let reason = cache.refusal(&layout_ref(directory.path(), None)).await;
        assert_eq!(reason.code, ReasonCode::ImageInvalid, "{reason}");
    }
}

#[tokio::test]
async fn a_sparse_file_that_claims_the_world_is_cheap() {
    let size = (1u64 << 42).to_string();
    let mut tar = Tar::default();
    tar.pax(&[
        ("GNU.sparse.size", size.as_bytes()),
        ("GNU.sparse.map", b"4398046511103,1"),
    ])
    .file("huge", b"x");
    let built = gzipped(&[tar.end()]);
    let directory = tempfile::tempdir().expect("a directory");
    layout(directory.path(), &[("v1", &built)]);
    let cache = Cache::new();
    let image = cache
        .pull(&layout_ref(directory.path(), None))
        .await
        .expect("an image");
    let used: u64 = image
        .disks
        .iter()
        .map(|disk| {
            std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&disk.path).expect("a disk")) * 512
        })
        .sum();
    assert!(used < 2 << 20, "{used} bytes on disk");
}
