//! Who may use what is in the cache without fetching it.
//!
//! The cache is shared, and an image that was pulled with credentials is not for everybody. So each layer and image has
//! guards: the repositories whose credentials it was pulled with. Without any it is open.
//!
//! ```text
//!   open ─────────────────────────────────────────────► used
//!   guarded, this pull is from one of the guards ─────► used: that registry has just let this pull in
//!   guarded, this pull is from elsewhere ─────────────► fetched again and checked, then used
//! ```
//!
//! What always holds:
//!
//! - Knowing a digest opens nothing. Whoever serves its own manifest that names a guarded layer must have the layer.
//! - The registry is asked for the manifest with the credentials of this very pull, by tag or by digest, each time.
//! - What becomes open stays so: anybody could have read it.
//! - Guards are on the disk before what they guard.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

/// The file beside a layer's or an image's others. One `registry/repository` per line.
pub(crate) const GUARDS: &str = "guards";

/// Where a pull reads from, as far as it matters who else may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody may read there: no credentials were given.
    Anybody {
        /// `registry/repository`; `None` is a layout on this host.
        repository: Option<String>,
    },
    /// Credentials were given; whether they were needed is not known.
    Credentials {
        /// `registry/repository`.
        repository: String,
    },
}

impl Access {
    fn repository(&self) -> Option<&str> {
        match self {
            Self::Anybody { repository } => repository.as_deref(),
            Self::Credentials { repository } => Some(repository),
        }
    }
}

/// The guards of a layer or image; none: it is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Guards(BTreeSet<String>);

impl Guards {
    /// Those of something that this pull has just fetched for the first time.
    pub(crate) fn of_new(access: &Access) -> Self {
        match access {
            Access::Anybody { .. } => Self::default(),
            Access::Credentials { repository } => Self([repository.clone()].into()),
        }
    }

    /// Whether this pull may use it as it is in the cache.
    pub(crate) fn let_in(&self, access: &Access) -> bool {
        self.0.is_empty() || access.repository().is_some_and(|own| self.0.contains(own))
    }

    /// Those after this pull was let in, or has fetched and checked it by itself.
    pub(crate) fn after(&self, access: &Access) -> Self {
        match access {
            Access::Anybody { .. } => Self::default(),
            Access::Credentials { .. } if self.0.is_empty() => Self::default(),
            Access::Credentials { repository } => {
                let mut guards = self.0.clone();
                guards.insert(repository.clone());
                Self(guards)
            }
        }
    }

    /// Reads those in a directory of the cache.
    ///
    /// # Errors
    /// The file is there and cannot be read; nobody is let in then.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        match fs::read_to_string(directory.join(GUARDS)) {
            Ok(text) => Ok(Self(text.lines().map(str::to_owned).collect())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// The file's text; `None` where there is to be no file.
    pub(crate) fn text(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.iter().map(|guard| format!("{guard}\n")).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(repository: &str) -> Access {
        Access::Credentials {
            repository: repository.to_owned(),
        }
    }

    fn without(repository: &str) -> Access {
        Access::Anybody {
            repository: Some(repository.to_owned()),
        }
    }

    const LAYOUT: Access = Access::Anybody { repository: None };

    #[test]
    fn only_who_asks_a_guard_is_let_in() {
        let guarded = Guards::of_new(&with("r/a"));
        for (access, is_let_in) in [
            (with("r/a"), true),
            // The registry has just answered without credentials.
            (without("r/a"), true),
            (with("r/b"), false),
            (without("evil/a"), false),
            (LAYOUT, false),
        ] {
            assert_eq!(guarded.let_in(&access), is_let_in, "{access:?}");
            assert!(Guards::default().let_in(&access), "open for {access:?}");
        }
    }

    #[test]
    fn guards_become_more_until_anybody_had_it() {
        let one = Guards::of_new(&with("r/a"));
        let two = one.after(&with("r/b"));
        assert!(two.let_in(&with("r/a")) && two.let_in(&with("r/b")));
        assert_eq!(two.after(&without("r/c")), Guards::default());
        assert_eq!(two.after(&LAYOUT), Guards::default());
        assert_eq!(
            Guards::default().after(&with("r/a")),
            Guards::default(),
            "open stays open"
        );
        assert_eq!(Guards::of_new(&without("r/a")), Guards::default());
    }

    #[test]
    fn a_file_that_cannot_be_read_lets_nobody_in() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Guards::read(directory.path()).unwrap(), Guards::default());
        let guards = Guards::of_new(&with("r/a")).after(&with("r/b"));
        fs::write(directory.path().join(GUARDS), guards.text().unwrap()).unwrap();
        assert_eq!(Guards::read(directory.path()).unwrap(), guards);
        fs::write(directory.path().join(GUARDS), [0xff]).unwrap();
        assert!(Guards::read(directory.path()).is_err());
    }
}
