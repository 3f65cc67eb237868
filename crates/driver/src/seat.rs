//! A seat at a machine's console.
//!
//! ```text
//!   person ◄──── what the log holds, then what is added to it ──── console.log ◄── VMM
//!          ────────────────────────────────────────────────────► console.in ──► VMM
//! ```
//!
//! The VMM itself holds both ends of the FIFO, so it never sees an end of its input, and neither file needs anybody of
//! ours to be there: a console outlives every restart, and a guest that writes is never held up.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use nix::sys::stat::Mode;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use crate::DriverError;
use crate::folder::Folder;

/// How often the log is looked at while somebody sits there: often enough that an echo seems to come at once.
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// How much a person who does not read is sent ahead.
const BUFFER_BYTES: usize = 16 * 1024;

/// Makes the FIFO that a VMM reads, and gives both its ends in one descriptor.
pub(crate) fn make_input(folder: &Folder) -> Result<File, DriverError> {
    let path = folder.console_input();
    let made = nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).map_err(io::Error::from);
    made.and_then(|()| File::options().read(true).write(true).open(&path))
        .map_err(|source| DriverError::Folder {
            operation: "make the console's input",
            path,
            source,
        })
}

/// Somebody at a console. Dropping it takes the console away from them.
pub(crate) struct Seat(JoinHandle<()>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Seat {
    /// Gives the person's end of the console, until the machine has ended.
    pub(crate) fn take(
        folder: &Folder,
        ended: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(DuplexStream, Self), DriverError> {
        let input = pipe::OpenOptions::new().open_sender(folder.console_input());
        let input = input.map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                return DriverError::NoConsole(folder.id);
            }
            DriverError::Folder {
                operation: "type on the console",
                path: folder.console_input(),
                source,
            }
        })?;
        let log = File::open(folder.console()).map_err(|source| DriverError::Folder {
            operation: "read the console",
            path: folder.console(),
            source,
        })?;
        let (theirs, ours) = tokio::io::duplex(BUFFER_BYTES);
        let (typed, shown) = tokio::io::split(ours);
        let id = folder.id;
        let task = tokio::spawn(async move {
            let done = tokio::select! {
                done = show(log, shown, ended) => done,
                done = pass_on(typed, input) => done,
            };
            if let Err(error) = done {
                tracing::debug!(vm.id = %id, %error, "somebody left a console");
            }
        });
        Ok((theirs, Self(task)))
    }

    /// Whether nobody sits there any more.
    pub(crate) fn is_left(&self) -> bool {
        self.0.is_finished()
    }
}

/// Shows what the log holds and what is added to it. After the machine's end, all that is left.
async fn show(
    mut log: File,
    mut shown: WriteHalf<DuplexStream>,
    ended: impl Future<Output = ()>,
) -> io::Result<()> {
    tokio::pin!(ended);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = more(&mut log, &mut buffer)?;
        shown.write_all(buffer.get(..count).unwrap_or_default()).await?;
        if count > 0 {
            continue;
        }
        tokio::select! {
            () = &mut ended => {
                let count = more(&mut log, &mut buffer)?;
                return shown.write_all(buffer.get(..count).unwrap_or_default()).await;
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// What was added to the log. One that was cut begins anew.
fn more(log: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    if log.metadata()?.len() < log.stream_position()? {
        log.seek(SeekFrom::Start(0))?;
    }
    log.read(buffer)
}

async fn pass_on(mut typed: ReadHalf<DuplexStream>, mut input: pipe::Sender) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match typed.read(&mut buffer).await? {
            0 => return Ok(()),
            count => input.write_all(buffer.get(..count).unwrap_or_default()).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use model::VmId;
    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn one_sees_what_was_and_what_comes_and_types_and_leaves_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::new(directory.path(), VmId::from_random([1; 16]));
        folder.create().unwrap();
        assert!(matches!(
            Seat::take(&folder, std::future::pending()),
            Err(DriverError::NoConsole(_))
        ));
        let mut vmm = make_input(&folder).unwrap();
        let mut log = File::options()
            .create(true)
            .append(true)
            .open(folder.console())
            .unwrap();
        log.write_all(b"before\n").unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let ended = async move {
            let _ = ended.await;
        };
        let (stream, seat) = Seat::take(&folder, ended).unwrap();
        let (read, mut write) = tokio::io::split(stream);
        let mut lines = BufReader::new(read).lines();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "before");
        log.write_all(b"after\n").unwrap();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "after");

        write.write_all(b"typed").await.unwrap();
        let heard = tokio::task::spawn_blocking(move || {
            let mut heard = [0; 5];
            vmm.read_exact(&mut heard).map(|()| heard)
        });
        assert_eq!(&heard.await.unwrap().unwrap(), b"typed");

        log.set_len(0).unwrap();
        log.write_all(b"cut\n").unwrap();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "cut");
        log.write_all(b"last\n").unwrap();
        end.send(()).unwrap();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "last");
        assert_eq!(lines.next_line().await.unwrap(), None);
        assert!(seat.is_left());
    }
}
