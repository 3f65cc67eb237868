//! The terminal that pwctl runs on: its size, its raw mode, and what is typed.
//!
//! In raw mode every key is passed on, Ctrl-C too. The mode before is put back when [`RawMode`] goes, which it does on
//! every way out but SIGKILL.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::failure::Failure;

/// Read from standard input at once.
const CHUNK: usize = 32 * 1024;

/// Whether a person sits there, for input and for output.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Columns and rows, where there is a terminal that tells.
pub(crate) fn size() -> Option<(u16, u16)> {
    let told = tcgetwinsize(io::stdout())
        .or_else(|_| tcgetwinsize(io::stdin()))
        .ok()?;
    (told.ws_col > 0 && told.ws_row > 0).then_some((told.ws_col, told.ws_row))
}

/// A terminal that passes every key on, until this is dropped.
pub(crate) struct RawMode(Termios);

impl RawMode {
    /// Makes standard input raw.
    ///
    /// # Errors
    /// It is no terminal, or one that does not take it.
    pub(crate) fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Drain, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no mode.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// What comes on standard input; the channel closes at its end.
///
/// A thread of its own reads, since a read that waits for a key cannot be given up; it ends with the process.
pub(crate) fn typed() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(2);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = match stdin.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // What cannot be read has ended.
                Err(_) => 0,
            };
            let chunk = buffer.get(..count).unwrap_or_default().to_vec();
            if count == 0 || sender.blocking_send(chunk).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A terminal that does not show what is typed, until this is dropped.
struct Unseen {
    terminal: File,
    before: Termios,
}

impl Unseen {
    fn enter() -> io::Result<Self> {
        let terminal = File::options().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&terminal)?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &unseen)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // A terminal that is gone needs no mode.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
        let _ = self.terminal.write_all(b"\n");
    }
}

/// Asks a person for a line that nobody shall see.
///
/// # Errors
/// There is no terminal, or the person leaves with Ctrl-C.
pub(crate) async fn secret(question: &str) -> Result<String, Failure> {
    let mut leaves = signal(SignalKind::interrupt()).map_err(|source| Failure::Runtime { source })?;
    let mut unseen = Unseen::enter().map_err(|source| Failure::NoTerminal { source })?;
    let failed = |source| Failure::Input { source };
    unseen.terminal.write_all(question.as_bytes()).map_err(failed)?;
    let lines = unseen.terminal.try_clone().map_err(failed)?;
    // A thread of its own reads, since a read that waits for a person cannot be given up.
    let typed = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(lines).read_line(&mut line).map(|_| line)
    });
    tokio::select! {
        typed = typed => typed.map_err(|source| Failure::Thread { source })?.map_err(failed),
        _ = leaves.recv() => Err(Failure::Left),
    }
}

/// Asks a person whether to go on; `None` where there is nobody to ask.
pub(crate) fn confirms(question: &str) -> Option<bool> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return None;
    }
    let asked = write!(io::stderr().lock(), "{question} [y/N] ");
    let mut line = String::new();
    let answered = asked.and_then(|()| io::stdin().lock().read_line(&mut line));
    Some(answered.is_ok() && matches!(line.trim(), "y" | "Y" | "yes"))
}
