//! The guest's console: a log file that is bounded while it is written, and read when something went wrong.
//!
//! A VMM appends to the file, so it can be cut at any time: what it holds is moved to `console.old`, and the file begins
//! anew. A few bytes written in between may be lost.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::folder::Folder;

/// A log longer than this is cut. What is kept counts as memory on a tmpfs; a screenful of a crash is far less.
const LIMIT_BYTES: u64 = 256 * 1024;

/// What is kept of a log that is cut.
const KEPT_BYTES: u64 = 64 * 1024;

/// As much as helps a person: the lines of a kernel panic.
const TAIL_LINES: usize = 25;
const TAIL_BYTES: u64 = 8 * 1024;

/// The last lines of the guest's console.
pub(crate) fn tail(folder: &Folder) -> String {
    let mut bytes = end_of(&folder.old_console(), TAIL_BYTES).unwrap_or_default();
    bytes.extend(end_of(&folder.console(), TAIL_BYTES).unwrap_or_default());
    last_lines(&bytes)
}

/// The last lines that the VMM itself wrote.
pub(crate) fn vmm_tail(folder: &Folder) -> String {
    last_lines(&end_of(&folder.vmm_log(), TAIL_BYTES).unwrap_or_default())
}

/// Cuts what has grown too long.
pub(crate) fn bound(folder: &Folder) -> io::Result<()> {
    let console = folder.console();
    if length(&console) > LIMIT_BYTES {
        fs::write(folder.old_console(), end_of(&console, KEPT_BYTES)?)?;
        fs::OpenOptions::new().write(true).open(&console)?.set_len(0)?;
    }
    if length(&folder.vmm_log()) > LIMIT_BYTES {
        fs::OpenOptions::new()
            .write(true)
            .open(folder.vmm_log())?
            .set_len(0)?;
    }
    Ok(())
}

fn length(file: &Path) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len())
}

fn end_of(file: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(file)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// As plain text: guests write escape sequences, which would reach the terminal of whoever reads an error.
fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            line.chars()
                .filter(|letter| !letter.is_control())
                .collect::<String>()
        })
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use model::VmId;

    use super::*;

    fn folder(directory: &Path) -> Folder {
        let folder = Folder::new(directory, VmId::from_random([1; 16]));
        folder.create().unwrap();
        folder
    }

    #[test]
    fn the_tail_is_plain_and_short() {
        let directory = tempfile::tempdir().unwrap();
        let folder = folder(directory.path());
        assert_eq!(tail(&folder), "");
        let noise: String = (0..100)
            .map(|line| format!("\x1b[2Jline {line}\r\n\r\n"))
            .collect();
        fs::write(folder.console(), noise).unwrap();
        let tail = tail(&folder);
        assert_eq!(tail.lines().count(), 25);
        assert!(tail.ends_with("[2Jline 99"), "{tail}");
    }

    #[test]
    fn a_long_log_is_cut_and_its_end_can_still_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let folder = folder(directory.path());
        let mut text = "x".repeat(300 * 1024);
        text.push_str("\nthe end\n");
        fs::write(folder.console(), text).unwrap();
        bound(&folder).unwrap();
        assert_eq!(length(&folder.console()), 0);
        assert!(length(&folder.old_console()) <= KEPT_BYTES);
        assert!(tail(&folder).ends_with("the end"));
        bound(&folder).unwrap();
        assert!(tail(&folder).ends_with("the end"));
    }
}
