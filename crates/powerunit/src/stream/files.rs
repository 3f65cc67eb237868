//! An archive's bytes as a reader and a writer over the link.

use std::io::{self, Read, Write};
use std::path::Path;

use wire::stream::{Input, Lane};

use super::failure::Error;
use super::link::Link;

/// The longest part of an archive in one frame.
const PART: usize = 32 * 1024;

/// The path, which must be absolute.
pub(super) fn absolute(path: &str) -> Result<&Path, Error> {
    let path = Path::new(path);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(Error::NotAbsolute(path.display().to_string()))
    }
}

/// Output: waits for room, and fails when the other side has closed the stream.
#[derive(Debug)]
pub(super) struct ArchiveOut<'a>(pub(super) &'a mut Link);

impl Write for ArchiveOut<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        while let Some(input) = self.0.next() {
            refuse_close(&input)?;
        }
        while self.0.room() == 0 {
            refuse_close(&self.0.wait())?;
        }
        let length = bytes.len().min(self.0.room()).min(PART);
        self.0.data(Lane::Stdout, bytes.get(..length).unwrap_or_default());
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Input: at its end when the host has said so, and broken when the other side has closed the stream.
#[derive(Debug)]
pub(super) struct ArchiveIn<'a> {
    link: &'a mut Link,
    part: Vec<u8>,
    /// How much of the part was read.
    read: usize,
    ended: bool,
    closed: bool,
}

impl<'a> ArchiveIn<'a> {
    pub(super) fn new(link: &'a mut Link) -> Self {
        Self {
            link,
            part: Vec::new(),
            read: 0,
            ended: false,
            closed: false,
        }
    }

    /// Whether the other side has closed the stream, which is then the cause of every error.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    fn fetch(&mut self) -> io::Result<()> {
        while self.read == self.part.len() && !self.ended {
            match self.link.wait() {
                Input::Data(bytes) => {
                    self.link.use_up(bytes.len());
                    (self.part, self.read) = (bytes, 0);
                }
                Input::End => self.ended = true,
                Input::Close => {
                    self.closed = true;
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                Input::Resize(_) | Input::Signal(_) | Input::Credit(_) => {}
            }
        }
        Ok(())
    }
}

impl Read for ArchiveIn<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fetch()?;
        let rest = self.part.get(self.read..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) else {
            return Ok(0);
        };
        to.copy_from_slice(from);
        self.read = self.read.saturating_add(count);
        Ok(count)
    }
}

fn refuse_close(input: &Input) -> io::Result<()> {
    if *input == Input::Close {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok(())
}
