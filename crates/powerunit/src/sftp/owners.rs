//! Names of users and groups for listings, and their homes: `/etc/passwd` and `/etc/group` as the image has them.

use std::collections::HashMap;
use std::fs;

/// Names by number. Where the image names nobody, there are numbers.
#[derive(Debug, Default)]
pub(super) struct Owners {
    users: HashMap<u32, Vec<u8>>,
    groups: HashMap<u32, Vec<u8>>,
}

impl Owners {
    /// As the files are now.
    pub(super) fn read() -> Self {
        Self {
            users: names(&fs::read("/etc/passwd").unwrap_or_default()),
            groups: names(&fs::read("/etc/group").unwrap_or_default()),
        }
    }

    pub(super) fn user(&self, number: u32) -> Vec<u8> {
        name(&self.users, number)
    }

    pub(super) fn group(&self, number: u32) -> Vec<u8> {
        name(&self.groups, number)
    }
}

fn name(names: &HashMap<u32, Vec<u8>>, number: u32) -> Vec<u8> {
    names
        .get(&number)
        .cloned()
        .unwrap_or_else(|| number.to_string().into_bytes())
}

/// A user's home, where the image knows the user.
pub(super) fn home(user: &[u8]) -> Option<Vec<u8>> {
    home_in(&fs::read("/etc/passwd").unwrap_or_default(), user)
}

/// The first line with a number counts (passwd(5), group(5): `name:password:number:…`).
fn names(file: &[u8]) -> HashMap<u32, Vec<u8>> {
    let mut names = HashMap::new();
    for line in file.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b':');
        let (Some(name), _password, Some(number)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let number = std::str::from_utf8(number)
            .ok()
            .and_then(|text| text.parse().ok());
        if let Some(number) = number.filter(|_| !name.is_empty()) {
            names.entry(number).or_insert_with(|| name.to_vec());
        }
    }
    names
}

fn home_in(passwd: &[u8], user: &[u8]) -> Option<Vec<u8>> {
    let mut lines = passwd
        .split(|byte| *byte == b'\n')
        .map(|line| line.split(|byte| *byte == b':'));
    let mut fields = lines.find(|fields| fields.clone().next() == Some(user))?;
    fields.nth(5).filter(|home| !home.is_empty()).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/toor:\n\nbroken\n:x:7::\nann:x:1000:1000:A,,:/home/ann:/bin/sh\nbob:x:12x:1\n";

    #[test]
    fn the_first_name_of_a_number_counts_and_broken_lines_do_not() {
        let names = names(PASSWD);
        assert_eq!(names.len(), 2);
        assert_eq!(name(&names, 0), b"root");
        assert_eq!(name(&names, 1000), b"ann");
        assert_eq!(name(&names, 7), b"7");
    }

    #[test]
    fn a_home_is_found_by_name() {
        assert_eq!(home_in(PASSWD, b"ann").as_deref(), Some(&b"/home/ann"[..]));
        assert_eq!(home_in(PASSWD, b"bob"), None);
        assert_eq!(home_in(PASSWD, b"nobody"), None);
    }
}
