//! The far end of streams and logs: a host whose one VM runs programs from a script. The programs:
//!
//! | command | what it does |
//! | --- | --- |
//! | `cat` | prints its input, then ends with 0 |
//! | `cat PATH` | prints a file of the tree, then ends with 0 |
//! | `tar x -C FOLDER` | unpacks its input there, then ends with 0 |
//! | `uname -a` | prints a line, then ends with 0 |
//! | `tell` | prints how it was started, then whatever happens to it, until its input ends |
//! | `both` | prints on both outputs, then ends with 3 |
//! | `flood BYTES` | prints so many, then ends with 0 |
//! | `deaf` | takes no input and never ends |
//! | `exit STATUS`, `kill SIGNAL` | ends so |
//! | `missing`, `forbidden` | cannot be started |

use std::sync::Arc;
use std::time::Duration;

use link::{Call, HostReader, HostStream, HostWriter, Link, LogWriter};
use model::{HostId, ProgramEnd};
use tokio::process::Command;
use tokio::sync::{mpsc, watch};
use wire::link::{LogEntry, LogRecord, LogRequest, StreamRequest};
use wire::stream::{End, Exec, FailureCode, Input, Lane, MAX_DATA, Open, Output, WINDOW};

/// What a test sees and does at the far end.
pub(crate) struct FakeVm {
    /// How many streams were closed by their client.
    pub(crate) closed: watch::Receiver<u32>,
    /// The VM's file tree.
    pub(crate) files: tempfile::TempDir,
    /// Lines that the service prints from now on.
    pub(crate) prints: mpsc::Sender<Option<&'static str>>,
}

type Prints = Arc<tokio::sync::Mutex<mpsc::Receiver<Option<&'static str>>>>;

impl FakeVm {
    pub(crate) fn serve(link: &Link, host: HostId) -> Self {
        let mut calls = link.serve(host);
        let (closes, closed) = watch::channel(0);
        let (prints, printed) = mpsc::channel(16);
        let printed = Arc::new(tokio::sync::Mutex::new(printed));
        let files = tempfile::tempdir().unwrap();
        let root = files.path().to_owned();
        tokio::spawn(async move {
            while let Some(call) = calls.next().await {
                match call {
                    Call::Stream { request, stream, .. } => {
                        let far = Far::new(stream, closes.clone());
                        drop(tokio::spawn(answer(far, request, root.display().to_string())));
                    }
                    Call::Log { request, log, .. } => {
                        drop(tokio::spawn(tell_log(log, request, printed.clone())))
                    }
                }
            }
        });
        Self {
            closed,
            files,
            prints,
        }
    }

    /// Waits until so many streams were closed by their client.
    pub(crate) async fn until_closed(&self, count: u32) {
        let mut closed = self.closed.clone();
        let wait = closed.wait_for(|closed| *closed >= count);
        drop(
            tokio::time::timeout(Duration::from_secs(20), wait)
                .await
                .unwrap()
                .unwrap(),
        );
    }
}

/// One stream, with its account of credit.
struct Far {
    writer: Option<HostWriter>,
    reader: HostReader,
    room: usize,
    pending: std::collections::VecDeque<Input>,
    closes: watch::Sender<u32>,
}

impl Far {
    fn new(stream: HostStream, closes: watch::Sender<u32>) -> Self {
        Self {
            writer: Some(stream.writer),
            reader: stream.reader,
            room: WINDOW as usize,
            pending: Default::default(),
            closes,
        }
    }

    fn put(&self, output: Output) {
        self.writer.as_ref().unwrap().put(output).unwrap();
    }

    async fn hear(&mut self) -> Input {
        let input = self.reader.next().await.unwrap();
        match &input {
            Input::Credit(count) => self.room += *count as usize,
            Input::Close => self.closes.send_modify(|closes| *closes += 1),
            Input::Data(_) | Input::End | Input::Resize(_) | Input::Signal(_) => {}
        }
        input
    }

    async fn next(&mut self) -> Input {
        loop {
            let input = match self.pending.pop_front() {
                Some(input) => input,
                None => self.hear().await,
            };
            if !matches!(input, Input::Credit(_)) {
                return input;
            }
        }
    }

    async fn print(&mut self, lane: Lane, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            while self.room == 0 {
                let input = self.hear().await;
                self.pending.push_back(input);
            }
            let count = bytes.len().min(self.room).min(MAX_DATA);
            self.put(Output::Data {
                lane,
                bytes: bytes[..count].to_vec(),
            });
            self.room -= count;
            bytes = &bytes[count..];
        }
    }

    fn end(&mut self, end: End) {
        if let Some(writer) = self.writer.take() {
            writer.end(end);
        }
    }

    fn fail(&mut self, code: FailureCode, message: &str) {
        if let Some(writer) = self.writer.take() {
            writer.fail(code, message);
        }
    }
}

async fn answer(mut far: Far, request: StreamRequest, root: String) {
    match request {
        StreamRequest::Guest(Open::Exec(exec)) => run(far, exec, &root).await,
        StreamRequest::Guest(Open::ReadFiles { path }) => read(far, &format!("{root}{path}")).await,
        StreamRequest::Guest(Open::WriteFiles { path }) => write(far, &format!("{root}{path}")).await,
        StreamRequest::Console { interactive } => {
            far.print(Lane::Stdout, b"the last line\r\n").await;
            loop {
                match far.next().await {
                    Input::Data(bytes) if interactive => far.print(Lane::Stdout, &bytes).await,
                    Input::Close => return,
                    Input::Data(_) | Input::End | Input::Resize(_) | Input::Signal(_) | Input::Credit(_) => {}
                }
            }
        }
    }
}

async fn run(mut far: Far, exec: Exec, root: &str) {
    let words: Vec<_> = exec.arguments.iter().map(String::as_str).collect();
    let exited = |code| End::Program(ProgramEnd::Exited(code));
    match words.as_slice() {
        ["cat"] => {
            loop {
                match far.next().await {
                    Input::Data(bytes) => {
                        far.print(Lane::Stdout, &bytes).await;
                        far.put(Output::Credit(bytes.len().try_into().unwrap()));
                    }
                    Input::End => break,
                    Input::Close => return,
                    Input::Resize(_) | Input::Signal(_) | Input::Credit(_) => {}
                }
            }
            far.end(exited(0));
        }
        ["cat", path] => {
            far.print(Lane::Stdout, &std::fs::read(format!("{root}{path}")).unwrap())
                .await;
            far.end(exited(0));
        }
        ["tar", "x", "-C", folder] => {
            if unpack(&mut far, &format!("{root}{folder}")).await == Some(true) {
                far.end(exited(0));
            } else {
                far.end(exited(2));
            }
        }
        ["uname", "-a"] => {
            far.print(Lane::Stdout, b"Linux scripted\n").await;
            far.end(exited(0));
        }
        ["tell", ..] => {
            far.print(Lane::Stdout, format!("{exec:?}\n").as_bytes()).await;
            loop {
                let input = far.next().await;
                match &input {
                    Input::End | Input::Close => break,
                    Input::Data(bytes) => {
                        let text = format!("typed {:?}\n", String::from_utf8_lossy(bytes));
                        far.print(Lane::Stdout, text.as_bytes()).await;
                        if bytes.contains(&b'q') {
                            break;
                        }
                    }
                    Input::Signal(2) => return far.end(End::Program(ProgramEnd::Killed(2))),
                    Input::Resize(_) | Input::Signal(_) | Input::Credit(_) => {
                        far.print(Lane::Stdout, format!("{input:?}\n").as_bytes()).await;
                    }
                }
            }
            far.end(exited(0));
        }
        ["both"] => {
            far.print(Lane::Stdout, b"out\n").await;
            far.print(Lane::Stderr, b"err\n").await;
            far.end(exited(3));
        }
        ["flood", bytes] => {
            far.print(Lane::Stdout, &vec![b'x'; bytes.parse().unwrap()]).await;
            far.end(exited(0));
        }
        ["deaf"] => while far.next().await != Input::Close {},
        ["exit", code] => far.end(exited(code.parse().unwrap())),
        ["kill", signal] => far.end(End::Program(ProgramEnd::Killed(signal.parse().unwrap()))),
        ["forbidden"] => far.fail(
            FailureCode::NotPermitted,
            "cannot run forbidden: permission denied",
        ),
        _ => far.fail(FailureCode::NotFound, "there is no such program in PATH"),
    }
}

async fn read(mut far: Far, path: &str) {
    let name = path.rsplit_once('/').unwrap().1;
    if name == "broken" {
        let folder = tempfile::tempdir().unwrap();
        let size = if path.ends_with("/large/broken") {
            1_000_000
        } else {
            1000
        };
        std::fs::write(folder.path().join(name), vec![7; size]).unwrap();
        let packed = Command::new("tar")
            .args(["-cf", "-", "-C"])
            .arg(folder.path())
            .arg(name)
            .output();
        let packed = packed.await.unwrap().stdout;
        far.print(Lane::Stdout, &packed[..size]).await;
        return far.fail(FailureCode::Failed, "the disk is broken");
    }
    let path = path.trim_end_matches("/.").trim_end_matches('/');
    let (folder, name) = path.rsplit_once('/').unwrap();
    let packed = Command::new("tar")
        .args(["--format=pax", "-cf", "-", "-C", folder, name])
        .output()
        .await
        .unwrap();
    if !packed.status.success() {
        return far.fail(FailureCode::NotFound, "there is no such file");
    }
    far.print(Lane::Stdout, &packed.stdout).await;
    far.end(End::Done);
}

async fn write(mut far: Far, path: &str) {
    if path.ends_with("/full") {
        // Not before something has come, as with a disk.
        far.next().await;
        return far.fail(FailureCode::Failed, "no space left on device");
    }
    if !std::path::Path::new(path).is_dir() {
        return far.fail(FailureCode::NotFound, "there is no such folder");
    }
    match unpack(&mut far, path).await {
        Some(true) => far.end(End::Done),
        Some(false) => far.fail(FailureCode::Invalid, "the archive cannot be read"),
        None => {}
    }
}

/// Unpacks the archive that comes, and says whether it could be read; `None` where the client left.
async fn unpack(far: &mut Far, path: &str) -> Option<bool> {
    let mut archive = Vec::new();
    loop {
        match far.next().await {
            Input::Data(bytes) => {
                far.put(Output::Credit(bytes.len().try_into().unwrap()));
                archive.extend(bytes);
            }
            Input::Close => return None,
            Input::End => break,
            Input::Resize(_) | Input::Signal(_) | Input::Credit(_) => {}
        }
    }
    let kept = std::path::Path::new(path).join(".archive");
    std::fs::write(&kept, archive).unwrap();
    let unpacked = Command::new("tar")
        .arg("-xf")
        .arg(&kept)
        .args(["-C", path])
        .output()
        .await
        .unwrap();
    std::fs::remove_file(kept).unwrap();
    Some(unpacked.status.success())
}

fn line(unix_ns: u64, lane: Lane, bytes: &[u8]) -> LogRecord {
    let bytes = bytes.to_vec();
    LogRecord {
        unix_ns,
        entry: LogEntry::Line { lane, bytes },
    }
}

/// A log of three lines, one of which is no text, behind a boot and a gap; then what is printed.
async fn tell_log(log: LogWriter, request: LogRequest, prints: Prints) {
    const START: u64 = 1_790_000_000_000_000_000;
    let entry = |entry| LogRecord {
        unix_ns: START,
        entry,
    };
    let all = [
        entry(LogEntry::Boot { boot_id: "b1".into() }),
        entry(LogEntry::Gap { bytes: Some(17) }),
        line(START + 1, Lane::Stdout, b"one"),
        line(START + 2, Lane::Stderr, b"two"),
        line(START + 3, Lane::Stdout, &[0xff, b'3']),
    ];
    let is_wanted = |record: &LogRecord| request.since_unix_ns.is_none_or(|since| record.unix_ns >= since);
    let skipped = request
        .tail
        .map_or(0, |tail| all.len().saturating_sub(tail.try_into().unwrap()));
    for record in all.into_iter().skip(skipped).filter(is_wanted) {
        log.send(record).await.unwrap();
    }
    if !request.follow {
        return log.end(End::Done).await;
    }
    let mut prints = prints.lock().await;
    loop {
        tokio::select! {
            () = log.unread() => return,
            printed = prints.recv() => match printed.flatten() {
                Some(text) => drop(log.send(line(START, Lane::Stdout, text.as_bytes())).await),
                None => {
                    let why = wire::stream::Failure { code: FailureCode::Lost, message: "the host went away".into() };
                    return log.end(End::Failed(why)).await;
                }
            },
        }
    }
}
