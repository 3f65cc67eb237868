//! Gives back the pages of the program that only its start needed.
//!
//! Most of what a process of ours holds is the program itself: the kernel maps each page that was touched once, and those
//! around it. They lie in the page cache in any case, so this frees none of the machine's memory; it takes them out of
//! what the process is charged with, and what is needed again comes back by a fault without any reading.

use std::fs;
use std::ops::Range;
use std::time::Duration;

use rustix::mm::{Advice, madvise};

/// How long a process does nothing before it counts as idle.
pub(crate) const REST: Duration = Duration::from_secs(10);

/// Gives them back. Without `/proc` nothing happens.
pub(crate) fn give_back_program() {
    let Ok(smaps) = fs::read_to_string("/proc/self/smaps") else {
        return;
    };
    for range in unchanged(&smaps) {
        give_back(&range);
    }
}

#[expect(unsafe_code, reason = "madvise has no safe wrapper")]
fn give_back(range: &Range<usize>) {
    let start = std::ptr::without_provenance_mut(range.start);
    // SAFETY: the kernel said that this is a private mapping of a file, that nothing can write to it, and that no page
    // of it was ever changed. So every page that is dropped comes back from the file as it was (madvise(2)). Nothing in
    // this program unmaps or changes a mapping of the program itself, so what was said still holds.
    let _ = unsafe { madvise(start, range.len(), Advice::LinuxDontNeed) };
}

/// Pure: the private mappings of files that nobody can write and of which no page was changed, by
/// `/proc/PID/smaps` (proc_pid_smaps(5)).
fn unchanged(smaps: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        if let Some(kib) = line.strip_prefix("Anonymous:") {
            found.extend(candidate.take().filter(|_| kib.trim() == "0 kB"));
        } else if let Some(mapping) = Mapping::parse(line) {
            candidate = mapping.is_of_a_file_to_read().then_some(mapping.range);
        }
    }
    found
}

/// The first line of a mapping: `START-END RIGHTS OFFSET DEVICE INODE PATH`.
struct Mapping<'a> {
    range: Range<usize>,
    rights: &'a str,
    inode: &'a str,
}

impl<'a> Mapping<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        Some(Self {
            range: address(start)?..address(end)?,
            rights: words.next()?,
            inode: words.nth(2)?,
        })
    }

    fn is_of_a_file_to_read(&self) -> bool {
        matches!(self.rights, "r--p" | "r-xp") && self.inode != "0"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_back_as_it_was_is_given_back() {
        let smaps = "\
00400000-00401000 r--p 00000000 00:02 7 /init\nRss: 4 kB\nAnonymous:             0 kB\nVmFlags: rd\n\
00401000-00601000 r-xp 00001000 00:02 7 /init\nAnonymous:             0 kB\n\
00601000-00602000 r--p 00201000 00:02 7 /init\nAnonymous:             4 kB\n\
00602000-00603000 rw-p 00202000 00:02 7 /init\nAnonymous:             0 kB\n\
00603000-00604000 r--s 00000000 00:02 8 /shared\nAnonymous:             0 kB\n\
00604000-00605000 r-xp 00000000 00:00 0 [vdso]\nAnonymous:             0 kB\n";
        assert_eq!(unchanged(smaps), [0x40_0000..0x40_1000, 0x40_1000..0x60_1000]);
    }

    #[test]
    fn a_program_goes_on_without_the_pages_of_its_start() {
        let resident = || {
            let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
            let mut lines = smaps.lines().skip_while(|line| {
                Mapping::parse(line).is_none_or(|mapping| mapping.rights != "r-xp" || mapping.inode == "0")
            });
            let line = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        let before = resident();
        give_back_program();
        let after = resident();
        assert!(after < before, "{before} KiB before, {after} after");
    }
}
