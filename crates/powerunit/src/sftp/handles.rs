//! What a client has open.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::failure::Failure;
use super::listing::Listing;

/// Files and directories open at once; with the three streams they stay below the 1024 descriptors of a session.
pub(super) const MAX_HANDLES: usize = 1000;

/// A handle as the client holds it. None is given twice, so one that was closed never means another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64);

impl Key {
    /// Bytes that were never given out become a key that no handle has.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.try_into().map_or(0, u64::from_be_bytes))
    }

    pub(super) fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

/// One of the two kinds of handle.
#[derive(Debug)]
pub(super) enum Handle {
    File(OwnedFd),
    Directory(Listing),
}

impl Handle {
    fn descriptor(&self) -> Result<BorrowedFd<'_>, Failure> {
        match self {
            Self::File(file) => Ok(file.as_fd()),
            Self::Directory(listing) => listing.descriptor(),
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Handles {
    last: u64,
    open: BTreeMap<Key, Handle>,
}

impl Handles {
    /// Keeps it open until it is closed; `TooManyHandles` closes it at once.
    pub(super) fn add(&mut self, handle: Handle) -> Result<Key, Failure> {
        if self.open.len() >= MAX_HANDLES {
            return Err(Failure::TooManyHandles);
        }
        self.last = self.last.wrapping_add(1);
        let key = Key(self.last);
        self.open.insert(key, handle);
        Ok(key)
    }

    pub(super) fn close(&mut self, key: Key) -> Result<(), Failure> {
        self.open.remove(&key).map(drop).ok_or(Failure::NoSuchHandle)
    }

    /// A file or a directory.
    pub(super) fn descriptor(&self, key: Key) -> Result<BorrowedFd<'_>, Failure> {
        self.open.get(&key).ok_or(Failure::NoSuchHandle)?.descriptor()
    }

    /// A file; a directory has no bytes.
    pub(super) fn file(&self, key: Key) -> Result<&OwnedFd, Failure> {
        match self.open.get(&key) {
            Some(Handle::File(file)) => Ok(file),
            Some(Handle::Directory(_)) | None => Err(Failure::NoSuchHandle),
        }
    }

    pub(super) fn directory(&mut self, key: Key) -> Result<&mut Listing, Failure> {
        match self.open.get_mut(&key) {
            Some(Handle::Directory(listing)) => Ok(listing),
            Some(Handle::File(_)) | None => Err(Failure::NoSuchHandle),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn null() -> Handle {
        Handle::File(std::fs::File::open("/dev/null").unwrap().into())
    }

    #[test]
    fn a_closed_handle_is_never_another_file() {
        let mut handles = Handles::default();
        let first = handles.add(null()).unwrap();
        handles.close(first).unwrap();
        let second = handles.add(null()).unwrap();
        assert_ne!(first, second);
        assert!(handles.file(first).is_err() && handles.close(first).is_err());
        assert!(handles.file(second).is_ok() && handles.directory(second).is_err());
        for strange in [&b""[..], b"1234567", b"123456789", &[0; 8]] {
            assert!(
                handles.descriptor(Key::from_bytes(strange)).is_err(),
                "{strange:?}"
            );
        }
    }
}
