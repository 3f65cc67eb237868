//! The pipe that sysvinit's commands write to, and systemd's where they find no bus: `/run/initctl`.
//!
//! A request is sysvinit's `struct init_request` (its initreq.h): magic, command, run level, pause, and a text, 384
//! bytes in all. Run level 0 is off and 6 is a reboot; there are no others here.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{OpenOptionsExt, symlink};

use rustix::fs::{Mode, OFlags};
use wire::guest::PowerOffKind;

use super::error::Error;

const PATH: &str = "/run/initctl";
/// Where it was before there was a /run.
const OLD_PATH: &str = "/dev/initctl";

const REQUEST_BYTES: usize = 384;
const MAGIC: i32 = 0x0309_1969;
/// `INIT_CMD_RUNLVL`
const CHANGE_RUN_LEVEL: i32 = 1;

/// The reading end.
#[derive(Debug)]
pub(super) struct Initctl(File);

impl Initctl {
    /// Makes the pipe, for root only.
    pub(super) fn open() -> Result<Self, Error> {
        let made = nix::unistd::mkfifo(
            PATH,
            nix::sys::stat::Mode::from_bits_truncate(Mode::RUSR.union(Mode::WUSR).bits()),
        );
        made.map_err(|errno| Error::file("make the pipe", PATH)(errno.into()))?;
        let _ = symlink(PATH, OLD_PATH);
        // Open for writing too, so that it never comes to an end and nobody waits to open it.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(PATH);
        Ok(Self(file.map_err(Error::file("open", PATH))?))
    }

    /// Reads all that came; tells whether something asks for the end.
    pub(super) fn drain(&self) -> Option<PowerOffKind> {
        let mut request = [0; REQUEST_BYTES];
        let mut wanted = None;
        // A write of one request is atomic (pipe(7)), so what is shorter is no request.
        while let Ok(count @ 1..) = (&self.0).read(&mut request) {
            wanted = request.get(..count).and_then(wish).or(wanted);
        }
        wanted
    }
}

impl AsFd for Initctl {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Pure: what a request asks for.
fn wish(request: &[u8]) -> Option<PowerOffKind> {
    if request.len() != REQUEST_BYTES {
        return None;
    }
    let mut words = request
        .chunks_exact(4)
        .map(|word| word.try_into().map(i32::from_ne_bytes));
    let mut word = || words.next()?.ok();
    if (word()?, word()?) != (MAGIC, CHANGE_RUN_LEVEL) {
        return None;
    }
    match u8::try_from(word()?).ok()? {
        b'0' => Some(PowerOffKind::Off),
        b'6' => Some(PowerOffKind::Reboot),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(magic: i32, command: i32, level: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [magic, command, i32::from(level), 5] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.resize(REQUEST_BYTES, 0);
        bytes
    }

    #[test]
    fn run_levels_zero_and_six_mean_something() {
        assert_eq!(wish(&request(MAGIC, 1, b'0')), Some(PowerOffKind::Off));
        assert_eq!(wish(&request(MAGIC, 1, b'6')), Some(PowerOffKind::Reboot));
        for other in [
            request(MAGIC, 1, b'3'),
            request(MAGIC, 6, b'0'),
            request(7, 1, b'0'),
            vec![],
        ] {
            assert_eq!(wish(&other), None);
        }
        assert_eq!(wish(request(MAGIC, 1, b'0').get(..383).unwrap()), None);
    }
}
