//! What clients do wrong, or to the limit.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use super::raw::*;

const EOF: u32 = 1;
const FAILURE: u32 = 4;
const OP_UNSUPPORTED: u32 = 8;

const FOR_READING: u32 = 1;
const FOR_WRITING: u32 = 2;
const CREATE: u32 = 8;

fn read_of(handle: &[u8], offset: u64, length: u32) -> Vec<u8> {
    [handle, &offset.to_be_bytes(), &length.to_be_bytes()].concat()
}

#[test]
fn what_is_not_known_is_answered_and_the_session_goes_on() {
    let mut raw = Raw::start();
    for kind in [0, 21, 99, 101, 199, 201, 255] {
        assert_eq!(raw.status(kind, b"whatever"), OP_UNSUPPORTED, "{kind}");
    }
    assert_eq!(raw.status(EXTENDED, &string(b"none@example.org")), OP_UNSUPPORTED);
    for handle in [&b""[..], b"nonsense", &[0; 256]] {
        assert_eq!(raw.status(CLOSE, &string(handle)), FAILURE);
        assert_eq!(raw.status(READ, &read_of(&string(handle), 0, 1)), FAILURE);
        assert_eq!(raw.status(READDIR, &string(handle)), FAILURE);
    }
    assert_eq!(
        raw.status(OPENDIR, &string(b"nul\0in the name")),
        FAILURE,
        "a name that no file has"
    );
    let (status, said) = raw.end();
    assert!(status.success() && said.is_empty(), "{said}");
}

#[test]
fn a_packet_that_breaks_the_format_ends_the_session_with_a_sentence() {
    let cases: [(&[u8], &str); 5] = [
        (b"\0\0\0\0", "ends before"),
        (b"\0\0\0\x05\x05\0\0\0\x01", "ends before"),
        (b"\0\0\0\x09\x0b\0\0\0\x01\xff\xff\xff\xff", "ends before"),
        (b"\0\x04\0\x01", "262145 bytes"),
        (b"\xff\xff\xff\xff", "4294967295 bytes"),
    ];
    for (bytes, sentence) in cases {
        let mut raw = Raw::start();
        raw.send_bytes(bytes);
        assert!(raw.packet().is_none(), "{}", bytes.escape_ascii());
        let (status, said) = raw.end();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains(sentence), "{said}");
    }
    let mut raw = Raw::silent();
    raw.send(b"\x0b\0\0\0\x01\0\0\0\x01/");
    assert!(raw.packet().is_none(), "a request before the greeting");
    assert!(raw.end().1.contains("SSH_FXP_INIT"));
}

#[test]
fn the_limits_that_are_told_are_kept() {
    let mut raw = Raw::start();
    let limits = raw.ask(EXTENDED, &string(b"limits@openssh.com")).body;
    let limits: Vec<u64> = limits
        .chunks(8)
        .map(|number| u64::from_be_bytes(number.try_into().unwrap()))
        .collect();
    assert_eq!(limits, [262_144, 261_120, 261_120, 1000]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    File::create(&file).unwrap().set_len(1 << 20).unwrap();
    let handle = raw.open(&file, FOR_READING);
    for length in [261_120, 1 << 30, u32::MAX] {
        assert_eq!(raw.ask(READ, &read_of(&handle, 0, length)).data().len(), 261_120);
    }
    assert_eq!(raw.status(READ, &read_of(&handle, 1 << 20, 1)), EOF);
    assert_eq!(raw.status(READ, &read_of(&handle, u64::MAX, 1)), FAILURE);
    let handles: Vec<_> = (1..1000).map(|_| raw.open(&file, FOR_READING)).collect();
    let too_many = [&string(file.as_os_str().as_encoded_bytes())[..], &[0; 8]].concat();
    assert_eq!(raw.status(OPEN, &too_many), FAILURE);
    assert_eq!(raw.status(CLOSE, &handles[7]), 0);
    raw.open(&file, FOR_READING);
    assert_eq!(
        raw.status(READ, &read_of(&handles[7], 0, 1)),
        FAILURE,
        "a closed handle"
    );
    let peak = peak_kib(raw.child.id());
    assert!(peak < 12 << 10, "{peak} KiB");
    assert!(raw.end().0.success());
}

fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn places_beyond_four_gigabytes_are_read_written_and_set() {
    const FAR: u64 = 5 << 30;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse");
    let mut raw = Raw::start();
    let handle = raw.open(&path, FOR_READING | FOR_WRITING | CREATE);
    let write = [&handle[..], &(FAR - 4).to_be_bytes(), &string(b"last")].concat();
    assert_eq!(raw.status(WRITE, &write), 0);
    assert_eq!(raw.ask(READ, &read_of(&handle, FAR - 6, 100)).data(), b"\0\0last");
    let facts = raw.ask(FSTAT, &handle);
    assert_eq!((facts.kind, &facts.body[4..12]), (ATTRS, &FAR.to_be_bytes()[..]));
    // Size, owner "as it is", permissions and times, in one.
    let wanted = [
        &handle[..],
        &0xf_u32.to_be_bytes(),
        &(FAR - 2).to_be_bytes(),
        &[0xff; 8],
        &0o600_u32.to_be_bytes(),
        &7_u32.to_be_bytes(),
        &9_u32.to_be_bytes(),
    ]
    .concat();
    assert_eq!(raw.status(FSETSTAT, &wanted), 0);
    let facts = fs::metadata(&path).unwrap();
    assert_eq!((facts.len(), facts.mode() & 0o7777), (FAR - 2, 0o600));
    assert_eq!((facts.atime(), facts.mtime()), (7, 9));
    assert!(facts.blocks() * 512 < 1 << 20);
}

#[test]
fn a_link_itself_is_set_and_not_what_it_leads_to() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    File::create(&file).unwrap();
    symlink("file", &link).unwrap();
    let before = fs::metadata(&file).unwrap();
    let mut raw = Raw::start();
    let mut set = |path: &Path, attributes: &[u8]| {
        let name = string(b"lsetstat@openssh.com");
        let path = string(path.as_os_str().as_encoded_bytes());
        raw.status(EXTENDED, &[&name[..], &path, attributes].concat())
    };
    let times = [0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 9];
    let mode = [0, 0, 0, 4, 0, 0, 1, 0x80];
    assert_eq!(set(&link, &times), 0);
    assert_eq!(fs::symlink_metadata(&link).unwrap().mtime(), 9);
    assert_eq!(fs::metadata(&file).unwrap().mtime(), before.mtime());
    assert_eq!(set(&link, &mode), OP_UNSUPPORTED, "a link has no mode");
    assert_eq!(fs::metadata(&file).unwrap().mode(), before.mode());
    assert_eq!(set(&file, &mode), 0);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn files_are_synced_and_directories_have_a_filesystem_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut raw = Raw::start();
    let file = raw.open(&folder.path().join("file"), FOR_WRITING | CREATE);
    let directory = raw
        .ask(OPENDIR, &string(folder.path().as_os_str().as_encoded_bytes()))
        .handle();
    let sync = |handle: &[u8]| [&string(b"fsync@openssh.com")[..], handle].concat();
    assert_eq!(raw.status(EXTENDED, &sync(&file)), 0);
    assert_eq!(raw.status(EXTENDED, &sync(&directory)), FAILURE, "no file");
    for handle in [file, directory] {
        let facts = raw.ask(
            EXTENDED,
            &[&string(b"fstatvfs@openssh.com")[..], &handle].concat(),
        );
        assert_eq!((facts.kind, facts.body.len()), (EXTENDED_REPLY, 11 * 8));
        let block_size = rustix::fs::statvfs(folder.path()).unwrap().f_bsize;
        assert_eq!(facts.body[..8], block_size.to_be_bytes());
    }
}

#[test]
fn a_directory_comes_in_pieces_that_every_client_takes() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..3000 {
        File::create(folder.path().join(format!("{number:0>200}"))).unwrap();
    }
    let mut raw = Raw::start();
    let body = string(folder.path().as_os_str().as_encoded_bytes());
    let handle = raw.ask(OPENDIR, &body).handle();
    let mut count = 0;
    loop {
        let answer = raw.ask(READDIR, &handle);
        if answer.kind != NAME {
            assert_eq!(answer.status(), EOF);
            break;
        }
        assert!(answer.body.len() + 9 <= 34_000, "{} bytes", answer.body.len());
        count += u32::from_be_bytes(answer.body[..4].try_into().unwrap());
    }
    assert_eq!(count, 3002, "with . and ..");
    assert_eq!(raw.status(READDIR, &handle), EOF);
}
