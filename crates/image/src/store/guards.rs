//! The guards of layers and images on disk. Whoever changes those of something holds its lock.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::{Store, StoreError};
use crate::guard::{Access, GUARDS, Guards};

impl Store {
    /// Whether a pull may use what is in this directory.
    pub(crate) fn lets_in(&self, directory: &Path, access: &Access) -> Result<bool, StoreError> {
        Ok(self.guards(directory)?.let_in(access))
    }

    /// Writes down that a pull has what is in this directory.
    pub(crate) fn admit(&self, directory: &Path, access: &Access) -> Result<(), StoreError> {
        let before = self.guards(directory)?;
        let after = before.after(access);
        if after == before {
            return Ok(());
        }
        let place = directory.join(GUARDS);
        if after.text().is_none() {
            return self.forget(&place);
        }
        let temporary = self.temporary()?;
        self.guard(temporary.path(), &after)?;
        self.publish(&temporary.path().join(GUARDS), &place)
    }

    /// Writes the guards of what is about to be published from this directory.
    pub(crate) fn guard(&self, directory: &Path, guards: &Guards) -> Result<(), StoreError> {
        let Some(text) = guards.text() else {
            return Ok(());
        };
        let place = directory.join(GUARDS);
        let write = || {
            let mut file = File::create_new(&place)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(StoreError::of("write", &place))
    }

    fn guards(&self, directory: &Path) -> Result<Guards, StoreError> {
        Guards::read(directory).map_err(StoreError::of("read the guards in", directory))
    }
}
