//! An uncompressed "newc" archive, as the kernel unpacks it (Documentation/driver-api/early-userspace/buffer-format).
//!
//! Uncompressed because unpacking costs the guest boot time, and reading three megabytes costs the host none.

use std::io::Write as _;

/// An archive being written. Times are 0 and owners root: the same content gives the same bytes.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

impl Archive {
    pub(super) fn directory(&mut self, name: &str, mode: u32) {
        self.entry(name, DIRECTORY | mode, (0, 0), &[]);
    }

    pub(super) fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entry(name, REGULAR | mode, (0, 0), content);
    }

    pub(super) fn device(&mut self, name: &str, mode: u32, major: u32, minor: u32) {
        self.entry(name, CHARACTER_DEVICE | mode, (major, minor), &[]);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.pad(512);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
        self.inode += 1;
        let links = 1;
        let (uid, gid, mtime, device, check) = (0, 0, 0, 0, 0);
        let (size, name_size) = (content.len(), name.len() + 1);
        let inode = self.inode;
        let header = format!(
            "070701{inode:08X}{mode:08X}{uid:08X}{gid:08X}{links:08X}{mtime:08X}{size:08X}\
             {device:08X}{device:08X}{major:08X}{minor:08X}{name_size:08X}{check:08X}"
        );
        let _ = self.bytes.write_all(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad(4);
        self.bytes.extend_from_slice(content);
        self.pad(4);
    }

    fn pad(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn every_part_begins_on_four_bytes() {
        let mut archive = Archive::default();
        archive.file("ab", 0o755, b"12345");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 512, 0);
        assert_eq!(&bytes[110..113], b"ab\0");
        assert_eq!(&bytes[116..121], b"12345");
        assert_eq!(&bytes[124..130], b"070701");
    }

    #[test]
    fn cpio_reads_what_is_written() {
        let mut archive = Archive::default();
        archive.directory("modules", 0o755);
        archive.file("modules/order", 0o644, b"always x.ko\n");
        archive.device("null", 0o666, 1, 3);
        let listing = Command::new("cpio")
            .args(["-itv", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match listing {
            Ok(child) => child,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "cpio is missing: {error}");
                return;
            }
        };
        child.stdin.take().unwrap().write_all(&archive.finish()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains("drwxr-xr-x") && text.contains("modules/order"),
            "{text}"
        );
        assert!(text.contains("crw-rw-rw-") && text.contains("1,   3"), "{text}");
    }
}
