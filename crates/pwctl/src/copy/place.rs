//! Where a copy lands, as `docker cp` has it. Pure.
//!
//! | source | destination | what happens |
//! | --- | --- | --- |
//! | file | a folder | the file lands in it |
//! | file | no folder | the file gets this name |
//! | folder | a folder | the folder lands in it |
//! | folder, written with `/.` | a folder | what is in the folder lands in it |
//! | folder | nothing there | the folder gets this name |

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    /// A file, or anything else that is no folder.
    File,
    Nothing,
}

/// Where an archive is unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The folder, which must exist.
    pub(super) folder: String,
    /// What the archive's first name becomes; `None` leaves it away, so that only what is below it lands.
    pub(super) name: Option<String>,
}

/// Why nothing can land there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misplaced {
    /// A folder was named, and there is none.
    NoFolder,
    /// A folder cannot become a file.
    FolderOntoFile,
}

/// Decides. `source` is as it was written; `name` is its last part, as it is in the archive.
pub(super) fn place(
    source: &str,
    name: &str,
    from: Kind,
    destination: &str,
    to: Kind,
) -> Result<Place, Misplaced> {
    match (from, to) {
        (Kind::Folder, Kind::File) => Err(Misplaced::FolderOntoFile),
        (Kind::Folder, Kind::Folder) => Ok(Place {
            folder: destination.to_owned(),
            name: (!is_content(source)).then(|| name.to_owned()),
        }),
        (Kind::File | Kind::Nothing, Kind::Folder) => Ok(Place {
            folder: destination.to_owned(),
            name: Some(name.to_owned()),
        }),
        (Kind::File | Kind::Nothing, Kind::File | Kind::Nothing) if destination.ends_with('/') => {
            Err(Misplaced::NoFolder)
        }
        (_, Kind::File | Kind::Nothing) => {
            let (folder, name) = split(destination);
            Ok(Place {
                folder,
                name: Some(name),
            })
        }
    }
}

/// Whether what is in a folder is meant, and not the folder.
fn is_content(path: &str) -> bool {
    path == "." || path.ends_with("/.")
}

/// The folder that a path stands in, and its last part.
pub(super) fn split(path: &str) -> (String, String) {
    let path = path.trim_end_matches('/');
    match path.rsplit_once('/') {
        Some(("", name)) => ("/".to_owned(), name.to_owned()),
        Some((folder, name)) => (folder.to_owned(), name.to_owned()),
        None => (".".to_owned(), path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_land_where_docker_puts_them() {
        use Kind::{File, Folder, Nothing};
        for (source, from, destination, to, folder, name) in [
            ("a.txt", File, "/srv", Folder, "/srv", Some("a.txt")),
            ("a.txt", File, "/srv/b.txt", File, "/srv", Some("b.txt")),
            ("a.txt", File, "/srv/b.txt", Nothing, "/srv", Some("b.txt")),
            ("a.txt", File, "/b", Nothing, "/", Some("b")),
            ("a.txt", File, "b", Nothing, ".", Some("b")),
            ("dir", Folder, "/srv", Folder, "/srv", Some("dir")),
            ("dir/", Folder, "/srv/", Folder, "/srv/", Some("dir")),
            ("dir/.", Folder, "/srv", Folder, "/srv", None),
            (".", Folder, "/srv", Folder, "/srv", None),
            ("dir", Folder, "/srv/new", Nothing, "/srv", Some("new")),
            ("dir/.", Folder, "/srv/new/", Nothing, "/srv", Some("new")),
        ] {
            let own = split(source.trim_end_matches("/.")).1;
            let expected = Place {
                folder: folder.into(),
                name: name.map(str::to_owned),
            };
            assert_eq!(
                place(source, &own, from, destination, to),
                Ok(expected),
                "{source} {destination}"
            );
        }
        assert_eq!(place("a", "a", File, "/new/", Nothing), Err(Misplaced::NoFolder));
        assert_eq!(
            place("d", "d", Folder, "/file", File),
            Err(Misplaced::FolderOntoFile)
        );
    }
}
