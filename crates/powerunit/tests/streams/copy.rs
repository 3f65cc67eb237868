//! Files out of and into a guest as tar archives, with GNU tar on the other side.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use wire::stream::{End, FailureCode, Input, Open, WINDOW};

use crate::process::Stream;

fn read_files(path: &Path) -> Stream {
    Stream::open(Open::ReadFiles {
        path: path.to_str().unwrap().to_owned(),
    })
}

fn write_files(path: &Path) -> Stream {
    Stream::open(Open::WriteFiles {
        path: path.to_str().unwrap().to_owned(),
    })
}

/// One of everything that a tree can hold.
fn make_tree(root: &Path) {
    fs::create_dir_all(root.join("folder/deeper")).unwrap();
    fs::write(root.join("folder/file"), "content\n").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("large"), vec![7; 700_001]).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"no utf-8 \xff\\ here")), "x").unwrap();
    let long = "n".repeat(180);
    fs::create_dir(root.join(&long)).unwrap();
    fs::write(root.join(&long).join(OsStr::from_bytes(&[0xe4; 120])), "long").unwrap();
    fs::hard_link(root.join("large"), root.join("zz other name")).unwrap();
    symlink("../folder/file", root.join("folder/link")).unwrap();
    symlink("/nowhere/".repeat(30), root.join("long link")).unwrap();
    let fifo = root.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    fs::set_permissions(root.join("folder/file"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::set_permissions(root.join("folder/deeper"), fs::Permissions::from_mode(0o555)).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    for name in ["empty", "folder/deeper", "folder"] {
        File::open(root.join(name)).unwrap().set_modified(old).unwrap();
    }
    if is_root() {
        std::os::unix::fs::chown(root.join("empty"), Some(3_000_000), Some(4712)).unwrap();
        std::os::unix::fs::lchown(root.join("long link"), Some(4711), Some(4712)).unwrap();
        let node = root.join("null");
        assert!(
            Command::new("mknod")
                .arg(node)
                .args(["c", "1", "3"])
                .status()
                .unwrap()
                .success()
        );
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Everything that must be equal about a tree, by name.
fn look(root: &Path) -> BTreeMap<OsString, String> {
    let mut seen = BTreeMap::new();
    let mut inodes = BTreeMap::new();
    look_into(root, root, &mut seen, &mut inodes);
    seen
}

fn look_into(
    root: &Path,
    path: &Path,
    seen: &mut BTreeMap<OsString, String>,
    inodes: &mut BTreeMap<u64, OsString>,
) {
    let meta = fs::symlink_metadata(path).unwrap();
    let name = path.strip_prefix(root).unwrap().as_os_str().to_owned();
    let first = inodes.entry(meta.ino()).or_insert_with(|| name.clone()).clone();
    let content = if meta.is_file() {
        fs::read(path).unwrap()
    } else {
        vec![]
    };
    let target = fs::read_link(path).unwrap_or_default();
    let facts = format!(
        "mode {:o} owner {}:{} time {}.{:09} device {} first name {first:?} target {target:?} content {} {:?}",
        meta.mode(),
        meta.uid(),
        meta.gid(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.rdev(),
        content.len(),
        content.iter().fold(0_u64, |sum, byte| sum
            .wrapping_mul(31)
            .wrapping_add(u64::from(*byte))),
    );
    seen.insert(name, facts);
    if meta.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        for entry in entries {
            look_into(root, &entry, seen, inodes);
        }
    }
}

fn tar(arguments: &[&str], folder: &Path, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("tar")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success(), "tar {arguments:?}");
    output.stdout
}

fn same(one: &Path, other: &Path) {
    let (one, other) = (look(one), look(other));
    for (name, facts) in &one {
        assert_eq!(Some(facts), other.get(name), "{name:?}");
    }
    assert_eq!(one.len(), other.len());
}

#[test]
fn a_tree_goes_out_and_in_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    make_tree(&tree);
    let mut out = read_files(&tree);
    assert_eq!(out.end(), End::Done);

    // What GNU tar makes of ours.
    let theirs = folder.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    tar(&["-xpf", "-"], &theirs, &out.stdout);
    same(&tree, &theirs.join("tree"));

    // What we make of ours, and of GNU tar's in both its formats.
    for format in ["ours", "pax", "gnu"] {
        let archive = match format {
            "ours" => out.stdout.clone(),
            format => tar(&["-cf", "-", "--format", format, "tree"], folder.path(), b""),
        };
        let target = folder.path().join(format);
        fs::create_dir(&target).unwrap();
        let mut stream = write_files(&target);
        stream.feed(&archive);
        assert_eq!(stream.end(), End::Done, "{format}");
        if format == "gnu" {
            // That format has whole seconds.
            continue;
        }
        same(&tree, &target.join("tree"));
    }
}

#[test]
fn a_single_file_or_link_goes_out_under_its_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "content").unwrap();
    symlink("file", folder.path().join("link")).unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    for (name, listed) in [
        ("file", "file\n"),
        ("link", "link\n"),
        ("folder/../file", "file\n"),
        ("folder/", "folder/\n"),
        ("folder/../folder/.", "folder/\n"),
    ] {
        let mut stream = read_files(&folder.path().join(name));
        assert_eq!(stream.end(), End::Done);
        assert_eq!(
            tar(&["-tf", "-"], folder.path(), &stream.stdout),
            listed.as_bytes()
        );
    }
    for (path, code) in [
        ("/nonsense/file", FailureCode::NotFound),
        ("file", FailureCode::Invalid),
    ] {
        let End::Failed(failure) = read_files(Path::new(path)).end() else {
            panic!("{path} was read")
        };
        assert_eq!(failure.code, code, "{}", failure.message);
    }
}

/// The reader has no room while the tree changes, so what changes is certain to be met.
#[test]
fn a_tree_in_motion_is_still_an_archive() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let shrinking = tree.join("a shrinking");
    fs::write(&shrinking, vec![1; 3 * WINDOW as usize]).unwrap();
    for name in ["b vanishing", "c staying"] {
        fs::write(tree.join(name), name).unwrap();
    }
    let mut stream = read_files(&tree);
    while stream.stdout.len() < WINDOW as usize {
        stream.next_within(Duration::from_secs(10)).unwrap();
    }
    File::options()
        .write(true)
        .open(&shrinking)
        .unwrap()
        .set_len(2 * u64::from(WINDOW))
        .unwrap();
    fs::remove_file(tree.join("b vanishing")).unwrap();
    stream.credit(WINDOW as usize);
    assert_eq!(stream.end(), End::Done);

    let copy = folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    tar(&["-xf", "-"], &copy, &stream.stdout);
    let content = fs::read(copy.join("tree/a shrinking")).unwrap();
    let (there, gone) = content.split_at(2 * WINDOW as usize);
    assert!(there.iter().all(|byte| *byte == 1) && gone.iter().all(|byte| *byte == 0));
    assert_eq!(gone.len(), WINDOW as usize);
    assert!(!copy.join("tree/b vanishing").exists());
    assert_eq!(fs::read(copy.join("tree/c staying")).unwrap(), b"c staying");
}

/// An archive of single entries: name, kind, link target, content.
fn archive(entries: &[(&[u8], tar::EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, target, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(*kind);
        header.set_link_name_literal(target).unwrap();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn hostile_archives_write_nothing_outside() {
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    type Entry<'a> = (&'a [u8], tar::EntryType, &'a str, &'a [u8]);
    let cases: [(&str, &[Entry<'_>]); 8] = [
        ("a name that climbs", &[(b"../evil", Regular, "", b"x")]),
        (
            "a name that climbs later",
            &[(b"a/../../evil", Regular, "", b"x")],
        ),
        ("an absolute name", &[(b"/evil", Regular, "", b"x")]),
        (
            "through a link that climbs",
            &[(b"up", Symlink, "..", b""), (b"up/evil", Regular, "", b"x")],
        ),
        (
            "through an absolute link",
            &[(b"away", Symlink, "/tmp", b""), (b"away/evil", Regular, "", b"x")],
        ),
        (
            "a directory over a link that climbs",
            &[(b"up", Symlink, "..", b""), (b"up/", Directory, "", b"")],
        ),
        (
            "a hard link to a name that climbs",
            &[(b"mine", Link, "../theirs", b"")],
        ),
        (
            "a hard link through a link",
            &[(b"up", Symlink, "..", b""), (b"mine", Link, "up/theirs", b"")],
        ),
    ];
    for (what, entries) in cases {
        let outer = tempfile::tempdir().unwrap();
        let target = outer.path().join("target");
        fs::create_dir(&target).unwrap();
        fs::write(outer.path().join("theirs"), "theirs").unwrap();
        let mut stream = write_files(&target);
        stream.feed(&archive(entries));
        let End::Failed(failure) = stream.end() else {
            panic!("{what}: unpacked")
        };
        assert_eq!(failure.code, FailureCode::Invalid, "{what}: {}", failure.message);
        assert!(failure.message.contains("outside"), "{what}: {}", failure.message);
        let mut left: Vec<_> = fs::read_dir(outer.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["target", "theirs"], "{what}");
        assert!(
            !target.join("mine").exists() && !Path::new("/evil").exists(),
            "{what}"
        );
        assert!(!Path::new("/tmp/evil").exists(), "{what}");
    }
}

/// A link that a user of the guest made in the way does not redirect what root unpacks.
#[test]
fn a_file_replaces_a_link_and_does_not_follow_it() {
    let outer = tempfile::tempdir().unwrap();
    let target = outer.path().join("target");
    fs::create_dir(&target).unwrap();
    fs::write(outer.path().join("theirs"), "theirs").unwrap();
    symlink("../theirs", target.join("file")).unwrap();
    let mut stream = write_files(&target);
    stream.feed(&archive(&[(b"file", tar::EntryType::Regular, "", b"mine")]));
    assert_eq!(stream.end(), End::Done);
    assert_eq!(fs::read(target.join("file")).unwrap(), b"mine");
    assert_eq!(fs::read(outer.path().join("theirs")).unwrap(), b"theirs");
}

#[test]
fn what_is_no_archive_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let whole = archive(&[(b"file", tar::EntryType::Regular, "", &[1; 2000])]);
    for bytes in [vec![b'x'; 5000], whole[..1000].to_vec()] {
        let mut stream = write_files(folder.path());
        stream.feed(&bytes);
        let End::Failed(failure) = stream.end() else {
            panic!("unpacked")
        };
        assert_eq!(failure.code, FailureCode::Invalid, "{}", failure.message);
    }
    let End::Failed(failure) = write_files(&folder.path().join("missing")).end() else {
        panic!("unpacked into nothing")
    };
    assert_eq!(failure.code, FailureCode::NotFound, "{}", failure.message);
}

#[test]
fn closing_stops_a_copy_in_both_directions() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("large"), vec![0; 2_000_000]).unwrap();
    let mut stream = read_files(folder.path());
    stream.say(Input::Close);
    let End::Failed(failure) = stream.end() else {
        panic!("it went on")
    };
    assert_eq!(failure.code, FailureCode::Lost);

    let mut stream = write_files(folder.path());
    let whole = archive(&[(b"file", tar::EntryType::Regular, "", &[1; 2000])]);
    stream.say(Input::Data(whole[..1000].to_vec()));
    stream.say(Input::Close);
    let End::Failed(failure) = stream.end() else {
        panic!("it went on")
    };
    assert_eq!(failure.code, FailureCode::Lost);
}
