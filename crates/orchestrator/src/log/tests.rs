//! The log store as a guest, a kill and a reader see it.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use link::LogReader;
use proptest::prelude::*;
use wire::guest::LogPart;
use wire::link::{LogEntry, LogRecord, LogRequest};
use wire::stream::Lane;

use super::*;

const ALL: LogRequest = LogRequest {
    follow: false,
    tail: None,
    since_unix_ns: None,
};

fn log(folder: &Path, file_bytes: u64, files: u64) -> Arc<VmLog> {
    let limits = LogLimits { file_bytes, files };
    Arc::new(VmLog::new(folder.join("log"), limits))
}

fn part(offset: u64, unix_ns: u64, lane: Lane, bytes: &[u8]) -> LogPart {
    LogPart {
        offset,
        unix_ns,
        lane,
        bytes: bytes.to_vec(),
    }
}

fn ask(log: &VmLog, request: LogRequest) -> LogReader {
    let (reader, writer) = link::log();
    tokio::spawn(serve(log.source(), request, writer));
    reader
}

async fn next(reader: &mut LogReader) -> Option<LogRecord> {
    let waited = tokio::time::timeout(Duration::from_secs(10), reader.next()).await;
    waited.expect("nothing came").unwrap()
}

/// What is read, a word per record.
async fn read(log: &VmLog, request: LogRequest) -> Vec<String> {
    let mut reader = ask(log, request);
    let mut words = Vec::new();
    while let Some(record) = next(&mut reader).await {
        words.push(word(&record));
    }
    words
}

fn word(record: &LogRecord) -> String {
    match &record.entry {
        LogEntry::Line { lane, bytes } => {
            let mark = match lane {
                Lane::Stdout => "",
                Lane::Stderr => "!",
            };
            format!("{mark}{}", String::from_utf8_lossy(bytes))
        }
        LogEntry::Gap { bytes: Some(bytes) } => format!("<gap {bytes}>"),
        LogEntry::Gap { bytes: None } => "<gap>".to_owned(),
        LogEntry::Boot { boot_id } => format!("<boot {boot_id}>"),
    }
}

#[tokio::test]
async fn what_is_said_again_is_written_once_and_what_is_missing_is_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), 1 << 20, 3);
    assert!(
        read(&log, ALL).await.is_empty(),
        "a VM that never booted has an empty log"
    );
    let mut files = LogFiles::open(log.clone()).unwrap();
    files
        .append(&part(0, 1, Lane::Stdout, b"before any boot\n"))
        .unwrap();
    files.boot("one", 1).unwrap();
    files.append(&part(0, 2, Lane::Stdout, b"first\nsec")).unwrap();
    files.append(&part(3, 2, Lane::Stdout, b"st\nsecond\n")).unwrap();
    assert_eq!(files.held(), Some(13));
    drop(files);
    let mut files = LogFiles::open(log.clone()).unwrap();
    assert_eq!(files.held(), Some(13), "a restart knows how far it had come");
    files.boot("one", 5).unwrap();
    files
        .append(&part(0, 2, Lane::Stdout, b"first\nsecond\n"))
        .unwrap();
    files
        .append(&part(113, 6, Lane::Stderr, b"much later\n"))
        .unwrap();
    files.append(&part(124, 7, Lane::Stdout, b"half")).unwrap();
    files.boot("two", 8).unwrap();
    files.append(&part(0, 9, Lane::Stdout, b"first again\n")).unwrap();
    let all = [
        "<boot one>",
        "first",
        "second",
        "<gap 100>",
        "!much later",
        "half",
        "<boot two>",
        "first again",
    ];
    assert_eq!(read(&log, ALL).await, all);
    for tail in 0..6 {
        let request = LogRequest {
            tail: Some(tail),
            ..ALL
        };
        let lines: Vec<_> = read(&log, request).await;
        let lines: Vec<_> = lines.iter().filter(|line| !line.starts_with('<')).collect();
        let wanted: Vec<_> = all.iter().filter(|line| !line.starts_with('<')).collect();
        let wanted = &wanted[wanted.len().saturating_sub(usize::try_from(tail).unwrap())..];
        assert_eq!(lines, wanted, "the last {tail}");
    }
    let request = LogRequest {
        since_unix_ns: Some(7),
        ..ALL
    };
    assert_eq!(read(&log, request).await, ["half", "<boot two>", "first again"]);
}

#[tokio::test]
async fn followers_see_each_line_once_over_rotation_and_end_with_the_vm() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), 2000, 3);
    let follow = LogRequest {
        follow: true,
        tail: Some(2),
        ..ALL
    };
    let mut early = ask(&log, follow);
    let mut files = LogFiles::open(log.clone()).unwrap();
    files.boot("one", 0).unwrap();
    let mut offset = 0;
    let mut print = |files: &mut LogFiles, number: u64| {
        let line = format!("line {number}\n");
        files
            .append(&part(offset, number, Lane::Stdout, line.as_bytes()))
            .unwrap();
        offset += line.len() as u64;
    };
    assert_eq!(word(&next(&mut early).await.unwrap()), "<boot one>");
    for number in 0..10 {
        print(&mut files, number);
        assert_eq!(word(&next(&mut early).await.unwrap()), format!("line {number}"));
    }
    let mut late = ask(&log, follow);
    for number in [8, 9] {
        assert_eq!(word(&next(&mut late).await.unwrap()), format!("line {number}"));
    }
    // Each file has room for some fifty lines.
    for number in 10..500 {
        print(&mut files, number);
        for reader in [&mut early, &mut late] {
            assert_eq!(word(&next(reader).await.unwrap()), format!("line {number}"));
        }
    }
    assert!(
        sequences(&log.folder).unwrap().len() == 3 && sequences(&log.folder).unwrap()[0] > 3,
        "the oldest files are gone"
    );
    drop(files);
    drop(log);
    for reader in [&mut early, &mut late] {
        assert_eq!(next(reader).await, None);
    }
}

#[tokio::test]
async fn a_follower_that_is_overtaken_sees_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), 2000, 2);
    let mut files = LogFiles::open(log.clone()).unwrap();
    files.boot("one", 0).unwrap();
    let mut reader = ask(&log, LogRequest { follow: true, ..ALL });
    assert_eq!(word(&next(&mut reader).await.unwrap()), "<boot one>");
    let mut offset = 0;
    for number in 0..1000_u64 {
        let line = format!("line {number}\n");
        files
            .append(&part(offset, number, Lane::Stdout, line.as_bytes()))
            .unwrap();
        offset += line.len() as u64;
    }
    let (mut bytes, mut lost, mut last) = (0, 0, String::new());
    while last != "line 999" {
        match next(&mut reader).await.unwrap().entry {
            LogEntry::Line { bytes: line, .. } => {
                bytes += line.len() as u64 + 1;
                last = String::from_utf8(line).unwrap();
            }
            LogEntry::Gap { bytes } => lost += bytes.unwrap(),
            LogEntry::Boot { boot_id } => panic!("{boot_id}"),
        }
    }
    assert!(lost > 0, "nothing was lost, so nothing was tested");
    assert_eq!(bytes + lost, offset);
}

#[test]
fn the_files_keep_to_their_limits() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), 100_000, 3);
    let mut files = LogFiles::open(log.clone()).unwrap();
    files.boot(&"b".repeat(1 << 20), 0).unwrap();
    let mut offset = 0;
    for _ in 0..50 {
        files
            .append(&part(offset, 0, Lane::Stdout, &[b'x'; 40_000]))
            .unwrap();
        offset += 40_000;
        let size = |sequence: u64| fs::metadata(file_path(&log.folder, sequence)).unwrap().len();
        let total: u64 = sequences(&log.folder).unwrap().into_iter().map(size).sum();
        assert!(total <= 300_000, "{total}");
    }
    assert_eq!(LogFiles::open(log).unwrap().held(), Some(offset));
}

/// One thing that happens to a log.
#[derive(Debug, Clone)]
enum Happening {
    /// The service prints.
    Prints(Lane, Vec<u8>),
    /// The guest says again everything from so many bytes before its end.
    SaysAgain(usize),
    /// The guest loses so many bytes that it had not sent.
    Loses(usize),
    /// Pitwall is killed so many bytes before the end of its last write, and starts again.
    Killed(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    let lane = prop_oneof![Just(Lane::Stdout), Just(Lane::Stderr)];
    let letters = prop_oneof![4 => b'a'..=b'z', 1 => Just(b'\n')];
    prop_oneof![
        6 => (lane, prop::collection::vec(letters, 1..200)).prop_map(|(lane, bytes)| Happening::Prints(lane, bytes)),
        1 => (0_usize..400).prop_map(Happening::SaysAgain),
        1 => (1_usize..300).prop_map(Happening::Loses),
        1 => (0_u64..400).prop_map(Happening::Killed),
    ]
}

/// The guest's side: all parts of this boot, of which the host may ask any again.
#[derive(Default)]
struct Guest {
    parts: Vec<LogPart>,
    end: u64,
}

impl Guest {
    fn say_from(&self, offset: u64, files: &mut LogFiles) {
        for part in &self.parts {
            if part.offset + part.bytes.len() as u64 > offset {
                files.append(part).unwrap();
            }
        }
    }

    /// What a reader must see: each lane's bytes with a mark for each loss, from the file that is the oldest left.
    fn all(&self, lane: Lane) -> Vec<u8> {
        let mut all = Vec::new();
        let mut at = 0;
        for part in &self.parts {
            if part.offset > at {
                all.extend(b"#");
            }
            at = part.offset + part.bytes.len() as u64;
            if part.lane == lane {
                all.extend(part.bytes.iter().filter(|&&byte| byte != b'\n'));
            }
        }
        if self.end > at {
            all.extend(b"#");
        }
        all
    }
}

/// The last write is cut, as a kill in the middle of it would.
fn cut(log: &VmLog, bytes: u64) {
    let newest = *sequences(&log.folder).unwrap().last().unwrap();
    let path = file_path(&log.folder, newest);
    let length = fs::metadata(&path).unwrap().len();
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(length.saturating_sub(bytes)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_a_reader_sees_an_unbroken_end_of_it(
        happenings in prop::collection::vec(happening(), 1..80),
        file_bytes in prop_oneof![Just(700_u64), Just(3_000), Just(1 << 20)],
    ) {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), file_bytes, 3);
        let mut files = LogFiles::open(log.clone()).unwrap();
        files.boot("one", 0).unwrap();
        let mut guest = Guest::default();
        for happening in happenings {
            match happening {
                Happening::Prints(lane, bytes) => {
                    let before = files.held().unwrap();
                    guest.parts.push(part(guest.end, guest.end, lane, &bytes));
                    guest.end += bytes.len() as u64;
                    guest.say_from(before, &mut files);
                }
                Happening::SaysAgain(back) => {
                    guest.say_from(guest.end.saturating_sub(back as u64), &mut files);
                }
                Happening::Loses(bytes) => guest.end += bytes as u64,
                Happening::Killed(bytes) => {
                    drop(files);
                    cut(&log, bytes);
                    files = LogFiles::open(log.clone()).unwrap();
                    files.boot("one", 0).unwrap();
                    let held = files.held().unwrap();
                    guest.say_from(held, &mut files);
                }
            }
        }
        let last = part(guest.end, guest.end, Lane::Stdout, b"end\n");
        guest.parts.push(last);
        guest.end += 4;
        guest.say_from(files.held().unwrap(), &mut files);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let seen = runtime.block_on(async {
            let mut reader = ask(&log, ALL);
            let mut seen = Vec::new();
            while let Some(record) = next(&mut reader).await {
                seen.push(record.entry);
            }
            seen
        });
        for lane in [Lane::Stdout, Lane::Stderr] {
            let mut bytes = Vec::new();
            for entry in &seen {
                match entry {
                    LogEntry::Line { lane: of, bytes: line } if *of == lane => bytes.extend(line),
                    LogEntry::Gap { .. } => bytes.extend(b"#"),
                    LogEntry::Line { .. } | LogEntry::Boot { .. } => {}
                }
            }
            let all = guest.all(lane);
            prop_assert!(
                all.ends_with(&bytes),
                "{lane:?}: {:?} is no end of {:?}",
                String::from_utf8_lossy(&bytes),
                String::from_utf8_lossy(&all)
            );
            if file_bytes == 1 << 20 {
                prop_assert_eq!(bytes, all);
            }
        }
    }
}
