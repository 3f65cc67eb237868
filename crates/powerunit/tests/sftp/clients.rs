//! OpenSSH's `sftp` and `scp`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use super::files::{FileClients, with};
use crate::noise;
use crate::root::is_root;
use crate::server::Server;
use crate::support::available;
use crate::support::ssh::KeyPair;

/// Who logs in without being root; every Debian has this user.
const UNPRIVILEGED: &str = "nobody";

fn start() -> Option<Server> {
    available(&["sftp", "scp"], &[]).then(Server::start).flatten()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_name_that_is_no_text_goes_there_and_back() {
    let Some(server) = start() else { return };
    let there = tempfile::tempdir().unwrap();
    let (local, back) = (there.path().join("local"), there.path().join("back"));
    let content = noise(3_000_000);
    fs::write(&local, &content).unwrap();
    let name = OsStr::from_bytes(b"caf\xe9 \xff\xfe");
    let remote = there.path().join(name);
    let put = [with("put", &local), with("", &remote)].concat();
    let get = [with("get", &remote), with("", &back)].concat();
    let listed = server
        .client()
        .sftp_text("fred", &[&put, &get, &with("ls -1", there.path())]);
    assert!(fs::read(&remote).unwrap() == content);
    assert!(fs::read(&back).unwrap() == content);
    // The client shows what is not printable in its own way; that the name is one of the directory's is what counts.
    let names: Vec<_> = fs::read_dir(there.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(names.iter().any(|found| found == name), "{names:?}");
    assert!(
        listed.windows(4).any(|part| part == b"/caf"),
        "{}",
        listed.escape_ascii()
    );
    server.client().sftp_text("fred", &[&with("rm", &remote)]);
    assert!(!remote.exists());
}

#[test]
fn names_are_made_moved_linked_and_removed() {
    let Some(server) = start() else { return };
    let there = tempfile::tempdir().unwrap();
    let at = |name: &str| there.path().join(name);
    fs::write(at("old"), "old").unwrap();
    fs::write(at("new"), "new").unwrap();
    let two = |command: &str, first: &Path, second: &Path| [with(command, first), with("", second)].concat();
    server.client().sftp_text(
        "fred",
        &[
            &with("mkdir", &at("folder")),
            &two("rename", &at("new"), &at("old")),
            &two("ln", &at("old"), &at("hard")),
            &two("ln -s", Path::new("old"), &at("soft")),
            &[b"chmod 4750 ".as_slice(), at("hard").as_os_str().as_bytes()].concat(),
            &two("cp", &at("old"), &at("copy")),
            &with("rmdir", &at("folder")),
        ],
    );
    assert_eq!(fs::read_to_string(at("old")).unwrap(), "new", "a rename replaces");
    assert!(!at("new").exists() && !at("folder").exists());
    assert_eq!(fs::metadata(at("old")).unwrap().nlink(), 2);
    assert_eq!(fs::read_link(at("soft")).unwrap(), Path::new("old"));
    assert_eq!(
        fs::metadata(at("old")).unwrap().permissions().mode() & 0o7777,
        0o4750
    );
    assert_eq!(fs::read_to_string(at("copy")).unwrap(), "new");
    let refused = server
        .client()
        .sftp("fred", &[&two("rename -l", &at("copy"), &at("old"))]);
    assert!(
        !refused.status.success() && said(&refused).contains("Failure"),
        "{refused:?}"
    );
    let listing = server
        .client()
        .sftp_text("fred", &[&with("ls -la", there.path())]);
    let listing = String::from_utf8_lossy(&listing);
    assert!(listing.contains("-rwsr-x---    2 "), "{listing}");
}

#[test]
fn free_space_and_syncing_work() {
    let Some(server) = start() else { return };
    let there = tempfile::tempdir().unwrap();
    let (local, remote) = (there.path().join("local"), there.path().join("remote"));
    fs::write(&local, noise(100_000)).unwrap();
    let put = [with("put -f", &local), with("", &remote)].concat();
    let printed = server
        .client()
        .sftp_text("fred", &[&put, &with("df", there.path())]);
    assert!(fs::read(&remote).unwrap() == fs::read(&local).unwrap());
    // Size, used and available in KiB, then what is left for root, and a percentage.
    let printed = String::from_utf8_lossy(&printed);
    let numbers = printed.lines().last().unwrap();
    let size: u64 = numbers.split_whitespace().next().unwrap().parse().unwrap();
    let facts = size_kib(there.path());
    assert_eq!(size, facts, "{printed}");
}

fn size_kib(path: &Path) -> u64 {
    let facts = rustix::fs::statvfs(path).unwrap();
    facts.f_blocks * facts.f_frsize / 1024
}

#[test]
fn scp_copies_trees_both_ways_and_in_its_old_way() {
    let Some(server) = start() else { return };
    let there = tempfile::tempdir().unwrap();
    let tree = there.path().join("tree");
    fs::create_dir_all(tree.join("deep/er")).unwrap();
    let content = noise(700_000);
    fs::write(tree.join("deep/er/file"), &content).unwrap();
    fs::write(tree.join("empty"), "").unwrap();
    fs::set_permissions(tree.join("empty"), fs::Permissions::from_mode(0o751)).unwrap();
    let old = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options()
        .write(true)
        .open(tree.join("empty"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    for way in [&["-rp"][..], &["-rp", "-O"]] {
        let (up, down) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let far = format!("fred@127.0.0.1:{}", up.path().join("tree").display());
        let mut copy = server.client().tool("scp", "-P");
        let copied = copy.args(way).arg(&tree).arg(&far).output().unwrap();
        assert!(copied.status.success(), "{way:?}: {}", said(&copied));
        let mut copy = server.client().tool("scp", "-P");
        let copied = copy.args(way).arg(&far).arg(down.path()).output().unwrap();
        assert!(copied.status.success(), "{way:?}: {}", said(&copied));
        let back = down.path().join("tree");
        assert!(fs::read(back.join("deep/er/file")).unwrap() == content, "{way:?}");
        let empty = fs::metadata(back.join("empty")).unwrap();
        assert_eq!(empty.permissions().mode() & 0o7777, 0o751, "{way:?}");
        assert_eq!(empty.modified().unwrap(), old, "{way:?}");
    }
}

#[test]
fn scp_finds_the_home() {
    let Some(server) = start() else { return };
    let home = server.client().text("pwd");
    let folder = tempfile::tempdir_in(&home).unwrap();
    fs::write(folder.path().join("file"), "here").unwrap();
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    let down = tempfile::tempdir().unwrap();
    let user = server.client().text("id -un");
    for far in [
        format!("{name}/file"),
        format!("~/{name}/file"),
        format!("~{user}/{name}/file"),
    ] {
        let target = down.path().join(far.replace('/', "-"));
        let mut copy = server.client().tool("scp", "-P");
        let copied = copy
            .arg(format!("fred@127.0.0.1:{far}"))
            .arg(&target)
            .output()
            .unwrap();
        assert!(copied.status.success(), "{far}: {}", said(&copied));
        assert_eq!(fs::read_to_string(target).unwrap(), "here");
    }
}

#[test]
fn a_user_does_as_much_as_the_kernel_allows() {
    if !is_root() {
        return;
    }
    let Some(server) = start() else { return };
    let there = tempfile::tempdir().unwrap();
    fs::set_permissions(there.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (theirs, secret, local) = (
        there.path().join("theirs"),
        there.path().join("secret"),
        there.path().join("local"),
    );
    fs::create_dir(&theirs).unwrap();
    chown(&theirs, Some(65_534), Some(65_534)).unwrap();
    fs::write(&local, "content").unwrap();
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let put = |target: &Path| [with("put", &local), with("", target)].concat();
    server
        .client()
        .sftp_text(UNPRIVILEGED, &[&put(&theirs.join("file"))]);
    let made = fs::metadata(theirs.join("file")).unwrap();
    assert_eq!((made.uid(), made.gid()), (65_534, 65_534));
    let down = [with("get", &secret), with("", &there.path().join("stolen"))].concat();
    let give_away = [b"chown 0 ".as_slice(), theirs.join("file").as_os_str().as_bytes()].concat();
    for forbidden in [
        put(&there.path().join("file")),
        down,
        with("rm", &secret),
        give_away,
    ] {
        let refused = server.client().sftp(UNPRIVILEGED, &[&forbidden]);
        assert!(!refused.status.success(), "{}", forbidden.escape_ascii());
        assert!(
            said(&refused).to_lowercase().contains("permission denied"),
            "{refused:?}"
        );
    }
    assert!(secret.exists() && !there.path().join("stolen").exists() && !there.path().join("file").exists());
}

#[test]
fn a_key_that_is_not_admitted_moves_no_file() {
    let Some(server) = start() else { return };
    let other = KeyPair::generate(server.folder.path(), "other");
    let refused = server.client().with_key(&other).sftp("fred", &[b"pwd"]);
    assert!(!refused.status.success());
    assert!(
        said(&refused).contains("Permission denied (publickey)"),
        "{refused:?}"
    );
}

#[test]
fn a_hundred_thousand_names_are_listed() {
    let Some(server) = start() else { return };
    let there = tempfile::tempdir().unwrap();
    for number in 0..100_000 {
        File::create(there.path().join(format!("a-file-with-a-number-{number}"))).unwrap();
    }
    let start = Instant::now();
    let listed = server
        .client()
        .sftp_text("fred", &[&with("ls -1f", there.path())]);
    let took = start.elapsed();
    let lines = listed
        .split(|byte| *byte == b'\n')
        .filter(|line| line.windows(2).any(|part| part == b"a-"));
    assert_eq!(lines.filter(|line| !line.starts_with(b"sftp>")).count(), 100_000);
    assert!(took < Duration::from_secs(60), "{took:?}");
}

/// Past every limit of 32 bits. Only the last megabyte moves, since the rest is there already.
#[test]
fn a_sparse_file_of_five_gigabytes_is_taken_up_again_both_ways() {
    const SIZE: u64 = 5 << 30;
    const HAVE: u64 = SIZE - (1 << 20);
    let Some(server) = start() else { return };
    let there = tempfile::tempdir().unwrap();
    let (from, to) = (there.path().join("from"), there.path().join("to"));
    let content = noise(1 << 20);
    let source = File::create(&from).unwrap();
    source.write_all_at(&content, HAVE).unwrap();
    for command in ["reget", "reput"] {
        File::create(&to).unwrap().set_len(HAVE).unwrap();
        let again = [with(command, &from), with("", &to)].concat();
        server.client().sftp_text("fred", &[&again]);
        let result = File::open(&to).unwrap();
        let facts = result.metadata().unwrap();
        assert_eq!(facts.len(), SIZE, "{command}");
        assert!(facts.blocks() * 512 < 8 << 20, "{command}: the hole was filled");
        let mut end = vec![0; content.len()];
        result.read_exact_at(&mut end, HAVE).unwrap();
        assert!(end == content, "{command}");
    }
}

/// A client with a terminal, or one that asks for it by habit, gets packets as they are.
#[test]
fn a_terminal_does_not_touch_the_packets() {
    let Some(server) = start() else { return };
    let mut child = server
        .client()
        .command(&["-tt", "-s"])
        .arg("sftp")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A greeting, and REALPATH of a name with what a terminal would change: end of line, interrupt, end of file.
    let name = b"/\n\x03\x04\r\x7f";
    let mut sent = b"\0\0\0\x05\x01\0\0\0\x03\0\0\0\x0f\x10\0\0\0\x01\0\0\0\x06".to_vec();
    sent.extend_from_slice(name);
    std::io::Write::write_all(&mut stdin, &sent).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout.get(4..9), Some(&b"\x02\0\0\0\x03"[..]));
    assert!(
        output.stdout.windows(name.len()).any(|part| part == name),
        "{}",
        output.stdout.escape_ascii()
    );
}
