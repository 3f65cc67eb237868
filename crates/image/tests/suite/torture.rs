//! Everything odd that layers hold, mounted by the kernel and compared entry by entry with what it should be.

use std::collections::BTreeMap;

use model::ByteSize;

use crate::support::image::{Packing, digest, image, layout};
use crate::support::mount::{Seen, Walk, run, walk, with_mounted};
use crate::support::tar::{Header, Tar};
use crate::support::{Cache, has, is_root, layout_ref};

/// The tree as it should be, written down beside what goes into the layers.
#[derive(Default)]
struct Expected(Walk);

impl Expected {
    fn put(&mut self, path: impl AsRef<[u8]>, kind: char, mode: u32, content: &[u8]) -> &mut Seen {
        let content = if kind == 'f' {
            digest(content).as_bytes().to_vec()
        } else {
            content.to_vec()
        };
        let seen = Seen {
            kind,
            mode,
            owner: (0, 0),
            mtime: (1_700_000_000, 0),
            links: if kind == 'd' { 2 } else { 1 },
            device: (0, 0),
            content,
            xattrs: BTreeMap::new(),
        };
        let path = path.as_ref().to_vec();
        if kind == 'd' && !path.is_empty() {
            let parent = path
                .iter()
                .rposition(|&byte| byte == b'/')
                .map_or(&[][..], |slash| &path[..slash]);
            self.0.get_mut(parent).expect("the parent comes first").links += 1;
        }
        self.0.entry(path).or_insert(seen)
    }

    fn dir(&mut self, path: impl AsRef<[u8]>) -> &mut Seen {
        self.put(path, 'd', 0o755, b"")
    }

    /// A directory that no layer mentions.
    fn implied(&mut self, path: impl AsRef<[u8]>) {
        self.dir(path).mtime = (0, 0);
    }

    fn file(&mut self, path: impl AsRef<[u8]>, content: &[u8]) -> &mut Seen {
        self.put(path, 'f', 0o644, content)
    }
}

fn long(letter: char, length: usize) -> String {
    letter.to_string().repeat(length)
}

fn names(tar: &mut Tar, expected: &mut Expected) {
    tar.dir("names");
    expected.dir("names");
    let (prefix, name) = (format!("names/{}", long('p', 120)), long('n', 99));
    let header = Header {
        name: name.clone().into(),
        prefix: prefix.clone().into(),
        ..Header::default()
    };
    tar.put(&header, b"ustar");
    expected.implied(&prefix);
    expected.file(format!("{prefix}/{name}"), b"ustar");
    let gnu = format!("names/{}", long('g', 255));
    tar.gnu_long(b'L', gnu.as_bytes()).file("cut", b"gnu");
    expected.file(&gnu, b"gnu");
    let pax = format!("names/{}", long('x', 255));
    tar.pax(&[("path", pax.as_bytes())]).file("cut", b"pax");
    expected.file(&pax, b"pax");
    let odd = b"names/\xff\xfe \n\x01";
    tar.put(
        &Header {
            name: odd.to_vec(),
            ..Header::default()
        },
        b"odd",
    );
    expected.file(odd, b"odd");
    tar.file("/names//./abs", b"abs");
    expected.file("names/abs", b"abs");
    for name in ["names/!", "names/-", "names/...", "names/.a"] {
        tar.file(name, b"sorts around the dots");
        expected.file(name, b"sorts around the dots");
    }
    let target = long('t', 4000);
    tar.gnu_long(b'K', target.as_bytes())
        .symlink("names/long-link", "cut");
    expected.put("names/long-link", 'l', 0o777, target.as_bytes());
    tar.symlink("names/link", "../../../etc/shadow");
    expected.put("names/link", 'l', 0o777, b"../../../etc/shadow");
}

fn attributes(tar: &mut Tar, expected: &mut Expected) {
    tar.put(
        &Header {
            name: b"attributes".to_vec(),
            kind: b'5',
            mode: 0o3770,
            uid: 3_000_000,
            gid: 5,
            ..Header::default()
        },
        b"",
    );
    let directory = expected.put("attributes", 'd', 0o3770, b"");
    directory.owner = (3_000_000, 5);
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let large = vec![0xAB; 60_000];
    tar.pax(&[
        ("SCHILY.xattr.security.capability", &capability),
        ("SCHILY.xattr.user.empty", b""),
        ("SCHILY.xattr.user.binary", b"\0\n=\xff"),
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.com.apple.quarantine", b"unknown to Linux"),
    ]);
    tar.put(
        &Header {
            name: b"attributes/ping".to_vec(),
            mode: 0o4755,
            ..Header::default()
        },
        b"ping",
    );
    let ping = expected.put("attributes/ping", 'f', 0o4755, b"ping");
    ping.xattrs
        .insert(b"security.capability".to_vec(), capability.to_vec());
    ping.xattrs.insert(b"user.empty".to_vec(), Vec::new());
    ping.xattrs.insert(b"user.binary".to_vec(), b"\0\n=\xff".to_vec());
    tar.pax(&[("SCHILY.xattr.user.large", &large)])
        .file("attributes/large", b"large");
    expected
        .file("attributes/large", b"large")
        .xattrs
        .insert(b"user.large".to_vec(), large.clone());
    tar.pax(&[("SCHILY.xattr.trusted.large", &large)])
        .symlink("attributes/link", "ping");
    expected
        .put("attributes/link", 'l', 0o777, b"ping")
        .xattrs
        .insert(b"trusted.large".to_vec(), large);
    for (name, text, mtime) in [
        ("before", "-0.5", (-1, 500_000_000)),
        ("after", "7258118400.123456789", (7_258_118_400, 123_456_789)),
    ] {
        let path = format!("attributes/{name}");
        tar.pax(&[("mtime", text.as_bytes())]).file(&path, b"");
        expected.file(&path, b"").mtime = mtime;
    }
    tar.put(
        &Header {
            name: b"attributes/old".to_vec(),
            mtime: -86_400,
            ..Header::default()
        },
        b"",
    );
    expected.file("attributes/old", b"").mtime = (-86_400, 0);
    for (name, kind, device) in [
        ("c", b'3', (300, 70_000)),
        ("b", b'4', (4095, 1_048_575)),
        ("null", b'3', (1, 3)),
    ] {
        let path = format!("attributes/{name}");
        tar.put(
            &Header {
                name: path.clone().into(),
                kind,
                device,
                ..Header::default()
            },
            b"",
        );
        let letter = if kind == b'3' { 'c' } else { 'b' };
        expected.put(&path, letter, 0o644, b"").device = (device.0.into(), device.1.into());
    }
    tar.put(
        &Header {
            name: b"attributes/pipe".to_vec(),
            kind: b'6',
            ..Header::default()
        },
        b"",
    );
    expected.put("attributes/pipe", 'p', 0o644, b"");
}

/// The same sparse file in each format: data at 0, across a chunk's edge, and in the last byte.
fn sparse(tar: &mut Tar, expected: &mut Expected) {
    let size = 1_000_001;
    let segments = [(0usize, 600usize), (8_000, 5_000), (size - 1, 1)];
    let mut whole = vec![0; size];
    let mut stored = Vec::new();
    for (number, &(offset, length)) in segments.iter().enumerate() {
        whole[offset..offset + length].fill(b'1' + number as u8);
        stored.extend_from_slice(&whole[offset..offset + length]);
    }
    tar.dir("sparse");
    expected.dir("sparse");
    for name in ["gnu", "gnu-many", "pax-0.0", "pax-0.1", "pax-1.0"] {
        expected.file(format!("sparse/{name}"), &whole);
    }
    let octal = |field: &mut [u8], number: usize| {
        let text = format!("{number:0width$o}", width = field.len() - 1);
        field[..text.len()].copy_from_slice(text.as_bytes());
    };
    let old = |name: &str| Header {
        name: name.into(),
        kind: b'S',
        ..Header::default()
    };
    let pair = |block: &mut [u8], (offset, length): (usize, usize)| {
        octal(&mut block[..12], offset);
        octal(&mut block[12..24], length);
    };
    tar.raw(&old("sparse/gnu"), stored.len() as u64, |block| {
        block[257..265].copy_from_slice(b"ustar  \0");
        for (number, &segment) in segments.iter().enumerate() {
            pair(&mut block[386 + number * 24..], segment);
        }
        octal(&mut block[483..495], size);
    });
    tar.body(&stored);
    // The same in pieces, so that an extension block is needed.
    let pieces: Vec<_> = (0..6)
        .map(|i| (i * 100, 100))
        .chain(segments[1..].iter().copied())
        .collect();
    tar.raw(&old("sparse/gnu-many"), stored.len() as u64, |block| {
        block[257..265].copy_from_slice(b"ustar  \0");
        for (number, &piece) in pieces[..4].iter().enumerate() {
            pair(&mut block[386 + number * 24..], piece);
        }
        block[482] = 1;
        octal(&mut block[483..495], size);
    });
    let mut extension = [0; 512];
    for (number, &piece) in pieces[4..].iter().enumerate() {
        pair(&mut extension[number * 24..], piece);
    }
    tar.body(&extension).body(&stored);
    let size = size.to_string();
    let text: Vec<(String, String)> = segments
        .iter()
        .map(|(o, l)| (o.to_string(), l.to_string()))
        .collect();
    let mut records: Vec<(&str, &[u8])> = vec![
        ("GNU.sparse.size", size.as_bytes()),
        ("GNU.sparse.numblocks", b"3"),
    ];
    for (offset, length) in &text {
        records.push(("GNU.sparse.offset", offset.as_bytes()));
        records.push(("GNU.sparse.numbytes", length.as_bytes()));
    }
    tar.pax(&records).file("sparse/pax-0.0", &stored);
    let map = text
        .iter()
        .map(|(offset, length)| format!("{offset},{length}"))
        .collect::<Vec<_>>()
        .join(",");
    tar.pax(&[
        ("GNU.sparse.size", size.as_bytes()),
        ("GNU.sparse.name", b"sparse/pax-0.1"),
        ("GNU.sparse.map", map.as_bytes()),
    ]);
    tar.file("GNUSparseFile.0/x", &stored);
    let lines: String = text
        .iter()
        .map(|(offset, length)| format!("{offset}\n{length}\n"))
        .collect();
    let mut body = format!("3\n{lines}").into_bytes();
    body.resize(512, 0);
    body.extend_from_slice(&stored);
    tar.pax(&[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"sparse/pax-1.0"),
        ("GNU.sparse.realsize", size.as_bytes()),
    ]);
    tar.file("GNUSparseFile.0/y", &body);
}

fn many(tar: &mut Tar, expected: &mut Expected) {
    tar.dir("many");
    expected.dir("many");
    for number in 0..3000 {
        let path = format!("many/{number:0>40}");
        tar.file(&path, number.to_string().as_bytes());
        expected.file(&path, number.to_string().as_bytes());
    }
    let mut path = String::from("deep");
    expected.implied(&path);
    for _ in 1..60 {
        path += "/d";
        expected.implied(&path);
    }
    path += "/bottom";
    tar.pax(&[("path", path.as_bytes())]).file("cut", b"bottom");
    expected.file(&path, b"bottom");
    tar.file("size-4096", &[1; 4096])
        .file("size-4097", &[2; 4097])
        .file("size-0", b"");
    expected.file("size-4096", &[1; 4096]);
    expected.file("size-4097", &[2; 4097]);
    expected.file("size-0", b"");
}

/// What later layers do to earlier ones. The tree is the result.
fn changes(layers: &mut [Tar; 3], expected: &mut Expected) {
    let [low, middle, high] = layers;
    low.dir("gone")
        .file("gone/a", b"")
        .dir("kept")
        .file("kept/low", b"")
        .file("kept/both", b"low");
    high.file(".wh.gone", b"");
    // The opaque mark stands amid what its own layer adds.
    middle
        .file("kept/before", b"1")
        .file("kept/.wh..wh..opq", b"")
        .file("kept/after", b"2")
        .file("kept/both", b"new");
    expected.dir("kept");
    for (name, content) in [("before", &b"1"[..]), ("after", b"2"), ("both", b"new")] {
        expected.file(format!("kept/{name}"), content);
    }
    // A whiteout after the same layer has made it anew removes only what was below.
    low.dir("again").file("again/old", b"");
    high.dir("again").file("again/new", b"new").file(".wh.again", b"");
    expected.dir("again");
    expected.file("again/new", b"new");
    low.file("was-file", b"f")
        .dir("was-dir")
        .file("was-dir/x", b"")
        .symlink("was-link", "kept");
    middle
        .dir("was-file")
        .file("was-file/in", b"in")
        .file("was-dir", b"now")
        .file("was-link/in", b"not through");
    expected.dir("was-file");
    expected.file("was-file/in", b"in");
    expected.file("was-dir", b"now");
    expected.implied("was-link");
    expected.file("was-link/in", b"not through");
    low.file("hard", b"hard").symlink("soft", "hard");
    middle
        .link("kept/hard", "hard")
        .link("kept/hard2", "./kept/hard")
        .link("kept/soft", "soft");
    high.file(".wh.hard", b"");
    expected.file("kept/hard", b"hard").links = 2;
    expected.file("kept/hard2", b"hard").links = 2;
    for name in ["soft", "kept/soft"] {
        expected.put(name, 'l', 0o777, b"hard").links = 2;
    }
    // A directory's attributes are renewed, its content stays.
    low.dir("renewed").file("renewed/x", b"x");
    high.put(
        &Header {
            name: b"renewed/".to_vec(),
            kind: b'5',
            mode: 0o700,
            uid: 9,
            ..Header::default()
        },
        b"",
    );
    let renewed = expected.put("renewed", 'd', 0o700, b"");
    renewed.owner = (9, 0);
    expected.file("renewed/x", b"x");
    high.file(".wh..wh.plnk", b"").file(".wh.never-was", b"");
}

/// Three layers and the tree they make.
fn torture() -> ([Vec<u8>; 3], Walk) {
    let mut layers = [Tar::default(), Tar::default(), Tar::default()];
    let mut expected = Expected::default();
    layers[0].put(
        &Header {
            name: b"./".to_vec(),
            kind: b'5',
            mode: 0o750,
            uid: 4,
            ..Header::default()
        },
        b"",
    );
    expected.put("", 'd', 0o750, b"").owner = (4, 0);
    names(&mut layers[0], &mut expected);
    attributes(&mut layers[1], &mut expected);
    sparse(&mut layers[1], &mut expected);
    many(&mut layers[2], &mut expected);
    changes(&mut layers, &mut expected);
    (layers.map(|mut tar| tar.end()), expected.0)
}

fn assert_same(seen: &Walk, expected: &Walk) {
    for (path, expected) in expected {
        let name = String::from_utf8_lossy(path);
        assert_eq!(seen.get(path), Some(expected), "{name}");
    }
    for path in seen.keys() {
        assert!(
            expected.contains_key(path),
            "{} should not be there",
            String::from_utf8_lossy(path)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kernel_sees_the_tree_that_the_layers_describe() {
    if !is_root() || !has("losetup") || !has("fsck.erofs") {
        return;
    }
    let (layers, expected) = torture();
    let packings = [Packing::Gzip, Packing::Zstd, Packing::Plain];
    let built = image(&layers.into_iter().zip(packings).collect::<Vec<_>>());
    let directory = tempfile::tempdir().expect("a directory");
    layout(directory.path(), &[("v1", &built)]);
    for max_disks in [8, 2] {
        let cache = tempfile::tempdir().expect("a directory");
        let cache = Cache::at(cache.path(), |config| config.max_disks = max_disks);
        let image = cache
            .pull(&layout_ref(directory.path(), None))
            .await
            .expect("an image");
        assert_eq!(image.disks.len(), if max_disks == 8 { 4 } else { 1 });
        assert!(
            image
                .disks
                .iter()
                .all(|disk| disk.size > ByteSize::from_bytes(0) && disk.size.bytes() % 4096 == 0)
        );
        assert_same(&with_mounted(&image, walk), &expected);
        let mut fsck = std::process::Command::new("fsck.erofs");
        fsck.args(
            image.disks[1..]
                .iter()
                .map(|disk| format!("--device={}", disk.path.display())),
        );
        run(fsck.arg(&image.disks[0].path));
    }
}
