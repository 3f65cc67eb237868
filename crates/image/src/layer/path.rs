//! What the names in an archive mean: a place in the tree, or the removal of one.
//!
//! A leading `/` and components of `.` mean nothing, as in every extractor. What would leave the tree is
//! refused rather than bent into shape, because no honest builder writes it.

/// The longest path, in bytes: Linux's `PATH_MAX`.
const MAX_PATH: usize = 4096;

/// The longest component, in bytes: Linux's `NAME_MAX`.
const MAX_NAME: usize = 255;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    #[error("its name is empty")]
    Empty,
    #[error("its name contains a NUL byte")]
    Nul,
    #[error("its name climbs out of the tree with \"..\"")]
    Climbs,
    #[error("its name is longer than a file system takes")]
    TooLong,
    #[error("it is a whiteout of nothing")]
    Whiteout,
}

/// What a member's name says (image-spec v1.1, "Layer", sections "Whiteouts" and "Opaque Whiteout").
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The member is this path.
    Node(Box<[u8]>),
    /// The member removes this path.
    Whiteout(Box<[u8]>),
    /// The member empties this directory.
    Opaque(Box<[u8]>),
    /// Bookkeeping of a builder, without meaning for the tree.
    Bookkeeping,
}

/// Joins the components of a name, without those that mean nothing.
pub(super) fn normalise(name: &[u8]) -> Result<Box<[u8]>, PathError> {
    if name.is_empty() {
        return Err(PathError::Empty);
    }
    if name.contains(&0) {
        return Err(PathError::Nul);
    }
    let mut path = Vec::with_capacity(name.len());
    for component in name.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => continue,
            b".." => return Err(PathError::Climbs),
            long if long.len() > MAX_NAME => return Err(PathError::TooLong),
            _ => {}
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(component);
    }
    if path.len() >= MAX_PATH {
        Err(PathError::TooLong)
    } else {
        Ok(path.into())
    }
}

/// Reads a member's name.
pub(super) fn place(name: &[u8]) -> Result<Place, PathError> {
    let path = normalise(name)?;
    let slash = path.iter().rposition(|&byte| byte == b'/');
    let (directory, last) = match slash {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[][..], &*path),
    };
    match last.strip_prefix(b".wh.") {
        None => Ok(Place::Node(path)),
        Some(b".wh..opq") => Ok(Place::Opaque(directory.into())),
        Some(rest) if rest.starts_with(b".wh.") => Ok(Place::Bookkeeping),
        Some(b"" | b"." | b"..") => Err(PathError::Whiteout),
        Some(gone) if directory.is_empty() => Ok(Place::Whiteout(gone.into())),
        Some(gone) => Ok(Place::Whiteout([directory, b"/", gone].concat().into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_places() {
        let node = |path: &str| Ok(Place::Node(path.as_bytes().into()));
        assert_eq!(place(b"/a//./b/"), node("a/b"));
        assert_eq!(place(b"./"), node(""));
        assert_eq!(place(b"a/.wh.b"), Ok(Place::Whiteout(b"a/b"[..].into())));
        assert_eq!(place(b".wh.b"), Ok(Place::Whiteout(b"b"[..].into())));
        assert_eq!(place(b"a/.wh..wh..opq"), Ok(Place::Opaque(b"a"[..].into())));
        assert_eq!(place(b".wh..wh.plnk"), Ok(Place::Bookkeeping));
    }

    #[test]
    fn names_that_leave_the_tree_are_refused() {
        for (name, error) in [
            (&b"a/../b"[..], PathError::Climbs),
            (b"..", PathError::Climbs),
            (b"", PathError::Empty),
            (b"a\0b", PathError::Nul),
            (b".wh...", PathError::Whiteout),
            (b"a/.wh.", PathError::Whiteout),
            (&[b'x'; 256], PathError::TooLong),
            (&b"x/".repeat(2050), PathError::TooLong),
        ] {
            assert_eq!(place(name), Err(error), "{name:?}");
        }
    }
}
