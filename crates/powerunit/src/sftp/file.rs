//! The bytes of files.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, copy_file_range, fstat, open as open_file};
use rustix::io::{pread, pwrite};

use super::MAX_DATA;
use super::attributes::Attributes;
use super::failure::Failure;
use super::request::OpenFlags;

/// The most that one call to the kernel copies: it returns to the client's hang-up between two of them.
const COPY_PIECE: usize = 64 << 20;

/// Opens a file. Never waits: a pipe that nobody writes would hold the whole session.
pub(super) fn open(path: &[u8], flags: OpenFlags, attributes: &Attributes) -> Result<OwnedFd, Failure> {
    let mode = attributes.permissions().unwrap_or(Mode::from_raw_mode(0o666));
    Ok(open_file(path, system_flags(flags), mode)?)
}

fn system_flags(flags: OpenFlags) -> OFlags {
    let access = match (flags.has(OpenFlags::READ), flags.has(OpenFlags::WRITE)) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        (_, false) => OFlags::RDONLY,
    };
    let mut system = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    system.set(OFlags::APPEND, flags.has(OpenFlags::APPEND));
    system.set(OFlags::CREATE, flags.has(OpenFlags::CREATE));
    system.set(OFlags::TRUNC, flags.has(OpenFlags::TRUNCATE));
    system.set(OFlags::EXCL, flags.has(OpenFlags::EXCLUSIVE));
    system
}

/// Reads into the front of `buffer`, which grows to what one packet may hold. Fewer bytes than asked for is no error.
pub(super) fn read<'a>(
    file: &OwnedFd,
    offset: u64,
    length: u32,
    buffer: &'a mut Vec<u8>,
) -> Result<&'a [u8], Failure> {
    let length = usize::try_from(length).unwrap_or(MAX_DATA).min(MAX_DATA);
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    let place = buffer.get_mut(..length).unwrap_or_default();
    match pread(file, &mut *place, offset)? {
        0 => Err(Failure::Eof),
        count => Ok(place.get(..count).unwrap_or_default()),
    }
}

/// Writes all of it. A file opened to append takes it at its end, whatever the offset.
pub(super) fn write(file: &OwnedFd, mut offset: u64, mut data: &[u8]) -> Result<(), Failure> {
    while !data.is_empty() {
        let count = pwrite(file, data, offset)?;
        if count == 0 {
            return Err(io::Error::from(ErrorKind::WriteZero).into());
        }
        offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        data = data.get(count..).unwrap_or_default();
    }
    Ok(())
}

/// Which bytes of a file go where in another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) from_offset: u64,
    pub(super) to_offset: u64,
    pub(super) length: u64,
}

impl Span {
    fn piece(&self, largest: usize) -> usize {
        usize::try_from(self.length).map_or(largest, |left| left.min(largest))
    }

    fn advance(&mut self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.from_offset = self.from_offset.saturating_add(count);
        self.to_offset = self.to_offset.saturating_add(count);
        self.length = self.length.saturating_sub(count);
    }
}

/// Copies within the machine, until the span or the file ends.
pub(super) fn copy(
    from: &OwnedFd,
    to: &OwnedFd,
    mut span: Span,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    let identity = |file| fstat(file).map(|stat| (stat.st_dev, stat.st_ino));
    if identity(from)? == identity(to)? {
        return Err(Failure::SameFile);
    }
    while span.length > 0 {
        let (mut from_offset, mut to_offset) = (span.from_offset, span.to_offset);
        let piece = span.piece(COPY_PIECE);
        match copy_file_range(from, Some(&mut from_offset), to, Some(&mut to_offset), piece) {
            Ok(count) if count > 0 => span.advance(count),
            // Not between these two, or not from such a file, or really the end: reading and writing will tell.
            Ok(_) | Err(_) => return copy_by_hand(from, to, span, buffer),
        }
    }
    Ok(())
}

fn copy_by_hand(from: &OwnedFd, to: &OwnedFd, mut span: Span, buffer: &mut Vec<u8>) -> Result<(), Failure> {
    while span.length > 0 {
        let piece = u32::try_from(span.piece(MAX_DATA)).unwrap_or(u32::MAX);
        let data = match read(from, span.from_offset, piece, buffer) {
            Err(Failure::Eof) => break,
            other => other?,
        };
        write(to, span.to_offset, data)?;
        span.advance(data.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    const ALL: Span = Span {
        from_offset: 0,
        to_offset: 0,
        length: u64::MAX,
    };

    #[test]
    fn flags_as_open_takes_them() {
        let system =
            |flags| system_flags(OpenFlags(flags)) - OFlags::NONBLOCK - OFlags::NOCTTY - OFlags::CLOEXEC;
        assert_eq!(system(0), OFlags::RDONLY);
        assert_eq!(system(OpenFlags::READ | OpenFlags::WRITE), OFlags::RDWR);
        assert_eq!(
            system(OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE),
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC
        );
        assert_eq!(
            system(OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::APPEND),
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND
        );
    }

    #[test]
    fn a_pipe_that_nobody_writes_does_not_hold_the_session() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let path = path.as_os_str().as_encoded_bytes();
        let file = open(path, OpenFlags(OpenFlags::READ), &Attributes::default()).unwrap();
        assert!(matches!(
            read(&file, 0, 10, &mut Vec::new()),
            Err(Failure::System(_))
        ));
    }

    type Way = fn(&OwnedFd, &OwnedFd, Span, &mut Vec<u8>) -> Result<(), Failure>;

    #[test]
    fn both_ways_of_copying_copy_the_span_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..MAX_DATA + 5000).map(|place| (place % 251) as u8).collect();
        let source = folder.path().join("source");
        fs::write(&source, &bytes).unwrap();
        let from = OwnedFd::from(File::open(&source).unwrap());
        let part = Span {
            from_offset: 3,
            to_offset: 2,
            length: 10,
        };
        let ways: [Way; 2] = [copy, copy_by_hand];
        for (number, way) in ways.into_iter().enumerate() {
            let path = folder.path().join(number.to_string());
            let to = OwnedFd::from(File::create_new(&path).unwrap());
            way(&from, &to, ALL, &mut Vec::new()).unwrap();
            assert!(fs::read(&path).unwrap() == bytes);
            let other = folder.path().join(format!("part-{number}"));
            let to = OwnedFd::from(File::create_new(&other).unwrap());
            way(&from, &to, part, &mut Vec::new()).unwrap();
            assert_eq!(fs::read(&other).unwrap(), [&[0, 0], &bytes[3..13]].concat());
        }
    }

    #[test]
    fn what_the_kernel_cannot_copy_is_copied_by_hand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy");
        let from = OwnedFd::from(File::open("/proc/self/limits").unwrap());
        let to = OwnedFd::from(File::create_new(&path).unwrap());
        copy(&from, &to, ALL, &mut Vec::new()).unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains("Max open files"));
    }

    #[test]
    fn a_file_is_not_copied_into_itself() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let twice = OwnedFd::from(File::options().write(true).open(file.path()).unwrap());
        let from = OwnedFd::from(file.reopen().unwrap());
        let refused = copy(&from, &twice, ALL, &mut Vec::new());
        assert!(matches!(refused, Err(Failure::SameFile)));
    }
}
