//! The terminal that pwctl runs on: its size, its raw mode, and what is typed.
//!
//! In raw mode every key is passed on, Ctrl-C too. The mode before is put back when [`RawMode`] goes, which it does on
//! every way out but SIGKILL.

use std::io::{self, IsTerminal, Read};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

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
