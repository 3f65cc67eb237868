//! The image's users: `/etc/passwd` and `/etc/group` read by ourselves, since a static program has no name service.
//!
//! A file that is missing or has broken lines is no obstacle: root always exists, and a login never fails because
//! an image knows nobody.

use std::fs;
use std::path::{Path, PathBuf};

/// A user to run programs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: PathBuf,
    /// What the file says; it may not exist.
    pub(crate) shell: PathBuf,
}

/// The two files, parsed.
#[derive(Debug, Default)]
pub(crate) struct Database {
    users: Vec<Account>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// A name that the image's files do not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAccount {
    #[error("the image has no user {0}")]
    User(String),
    #[error("the image has no group {0}")]
    Group(String),
}

const DEFAULT_SHELL: &str = "/bin/sh";

impl Database {
    /// As the image has them now: a user made a moment ago can log in.
    pub(crate) fn read() -> Self {
        let text = |path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Self::parse(
            &text("/etc/passwd").unwrap_or_default(),
            &text("/etc/group").unwrap_or_default(),
        )
    }

    fn parse(passwd: &str, group: &str) -> Self {
        Self {
            users: passwd.lines().filter_map(user).collect(),
            groups: group.lines().filter_map(parse_group).collect(),
        }
    }

    /// Who a login name is: a user of the image, or else the one the image is made for.
    pub(crate) fn login(&self, name: &str, default: &str) -> Account {
        self.by_name(name).map_or_else(
            || self.default_account(default),
            |user| self.with_groups(user.clone()),
        )
    }

    /// The user that an image's configuration names (OCI image-spec, `config.User`): `user`, `uid`, `user:group`,
    /// `uid:gid`. One that does not exist, by name, is root, so that a login never fails.
    pub(crate) fn default_account(&self, spec: &str) -> Account {
        let (user, group) = parts(spec);
        let account = self.user(user).unwrap_or_else(|| self.by_uid(0));
        self.in_group(account, group.and_then(|group| self.gid(group)))
    }

    /// The same user for a program, which must not run as another one than was asked for. Nothing means root.
    ///
    /// # Errors
    /// [`NoAccount`] when a name is not the image's; a number need not be.
    pub(crate) fn find(&self, spec: &str) -> Result<Account, NoAccount> {
        let (user, group) = parts(spec);
        let account = match user {
            "" => self.by_uid(0),
            user => self.user(user).ok_or_else(|| NoAccount::User(user.to_owned()))?,
        };
        let gid = group.map(|group| self.gid(group).ok_or_else(|| NoAccount::Group(group.to_owned())));
        Ok(self.in_group(account, gid.transpose()?))
    }

    /// With a group that was asked for, in that one only; else in all of the user's.
    fn in_group(&self, mut account: Account, gid: Option<u32>) -> Account {
        match gid {
            Some(gid) => {
                account.gid = gid;
                account
            }
            None => self.with_groups(account),
        }
    }

    fn user(&self, user: &str) -> Option<Account> {
        let named = self.by_name(user).cloned();
        named.or_else(|| user.parse().ok().map(|uid| self.by_uid(uid)))
    }

    fn gid(&self, group: &str) -> Option<u32> {
        let named = self.groups.iter().find(|known| known.name == group);
        named.map(|known| known.gid).or_else(|| group.parse().ok())
    }

    fn by_name(&self, name: &str) -> Option<&Account> {
        self.users.iter().find(|user| user.name == name)
    }

    /// The user with this number, made up where the image has none.
    fn by_uid(&self, uid: u32) -> Account {
        let known = self.users.iter().find(|user| user.uid == uid).cloned();
        known.unwrap_or_else(|| Account {
            name: if uid == 0 {
                "root".to_owned()
            } else {
                uid.to_string()
            },
            uid,
            gid: 0,
            groups: Vec::new(),
            home: PathBuf::from(if uid == 0 { "/root" } else { "/" }),
            shell: PathBuf::from(DEFAULT_SHELL),
        })
    }

    /// What a listing calls the user with this number: the number where the image has no name for it.
    pub(crate) fn user_name(&self, uid: u32) -> String {
        let known = self.users.iter().find(|user| user.uid == uid);
        known.map_or_else(|| uid.to_string(), |user| user.name.clone())
    }

    /// The same of a group.
    pub(crate) fn group_name(&self, gid: u32) -> String {
        let known = self.groups.iter().find(|group| group.gid == gid);
        known.map_or_else(|| gid.to_string(), |group| group.name.clone())
    }

    /// The home of the user with this name, if the image has such a user.
    pub(crate) fn home(&self, name: &str) -> Option<&Path> {
        self.by_name(name).map(|user| user.home.as_path())
    }

    fn with_groups(&self, mut account: Account) -> Account {
        let member = |group: &&Group| group.gid != account.gid && group.members.contains(&account.name);
        account.groups = self.groups.iter().filter(member).map(|group| group.gid).collect();
        account
    }
}

impl Account {
    /// The shell to start, if the image has one. An account that is closed for password logins (`nologin`) still
    /// belongs to whoever holds the machine's key, so it gets the image's plain shell.
    pub(crate) fn usable_shell(&self) -> Option<PathBuf> {
        let closed = self
            .shell
            .file_name()
            .is_some_and(|name| name == "nologin" || name == "false");
        let own = Some(self.shell.as_path()).filter(|_| !closed);
        let candidates = own
            .into_iter()
            .chain([Path::new("/bin/bash"), Path::new(DEFAULT_SHELL)]);
        candidates
            .into_iter()
            .find(|path| is_program(path))
            .map(Path::to_owned)
    }
}

/// User and group of an image's configuration.
fn parts(spec: &str) -> (&str, Option<&str>) {
    spec.split_once(':')
        .map_or((spec, None), |(user, group)| (user, Some(group)))
}

fn is_program(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file()
}

/// `name:password:uid:gid:comment:home:shell` (passwd(5)).
fn user(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let (name, _password) = (fields.next()?, fields.next()?);
    let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let (_comment, home, shell) = (
        fields.next(),
        fields.next().unwrap_or("/"),
        fields.next().unwrap_or(""),
    );
    (!name.is_empty()).then(|| Account {
        name: name.to_owned(),
        uid,
        gid,
        groups: Vec::new(),
        home: PathBuf::from(if home.is_empty() { "/" } else { home }),
        shell: PathBuf::from(if shell.is_empty() { DEFAULT_SHELL } else { shell }),
    })
}

/// `name:password:gid:member,member` (group(5)).
fn parse_group(line: &str) -> Option<Group> {
    let mut fields = line.split(':');
    let (name, _password, gid) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
    let members = fields
        .next()
        .unwrap_or_default()
        .split(',')
        .filter(|member| !member.is_empty());
    Some(Group {
        name: name.to_owned(),
        gid,
        members: members.map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        # comment\n\
        broken:x:many:0::/:/bin/sh\n\
        www-data:x:33:33:www:/var/www:/usr/sbin/nologin\n\
        ann:x:1000:1000:Ann,,,:/home/ann:\n\
        short:x:7:7\n";
    const GROUP: &str = "root:x:0:\nwww-data:x:33:ann\nsudo:x:27:ann,bob\nann:x:1000:ann\nbad\n";

    fn database() -> Database {
        Database::parse(PASSWD, GROUP)
    }

    #[test]
    fn listings_have_names_or_numbers() {
        let database = database();
        assert_eq!(
            (database.user_name(33), database.user_name(8)),
            ("www-data".into(), "8".into())
        );
        assert_eq!(
            (database.group_name(27), database.group_name(8)),
            ("sudo".into(), "8".into())
        );
        assert_eq!(database.home("www-data"), Some(Path::new("/var/www")));
        assert_eq!(database.home("broken"), None);
    }

    #[test]
    fn a_name_of_the_image_is_that_user_with_its_groups() {
        let ann = database().login("ann", "");
        assert_eq!(
            (ann.uid, ann.gid, ann.groups.as_slice()),
            (1000, 1000, &[33, 27][..])
        );
        assert_eq!(ann.shell, Path::new("/bin/sh"));
        assert_eq!(database().login("short", "").home, Path::new("/"));
    }

    #[test]
    fn any_other_name_is_the_default_user() {
        let database = database();
        assert_eq!(database.login("fred", "").name, "root");
        assert_eq!(database.login("fred", "www-data").uid, 33);
        assert_eq!(database.login("fred", "1000").name, "ann");
        assert_eq!(database.login("fred", "ann").groups, [33, 27]);
        let group = database.login("fred", "ann:sudo");
        assert_eq!((group.uid, group.gid, group.groups.len()), (1000, 27, 0));
        assert_eq!(database.login("fred", "nobody-here").name, "root");
    }

    #[test]
    fn a_program_never_runs_as_somebody_else() {
        let database = database();
        assert_eq!(database.find("ann"), Ok(database.login("ann", "")));
        assert_eq!(database.find("").map(|root| root.uid), Ok(0));
        assert_eq!(
            database
                .find("4711:sudo")
                .map(|account| (account.uid, account.gid)),
            Ok((4711, 27))
        );
        assert_eq!(
            database.find("nobody-here"),
            Err(NoAccount::User("nobody-here".into()))
        );
        assert_eq!(
            database.find("ann:nothing"),
            Err(NoAccount::Group("nothing".into()))
        );
    }

    #[test]
    fn a_number_that_nobody_has_is_still_a_user() {
        let account = database().login("fred", "4711:12");
        assert_eq!(
            (account.name.as_str(), account.uid, account.gid),
            ("4711", 4711, 12)
        );
        let root = Database::default().login("root", "");
        assert_eq!((root.uid, root.home.as_path()), (0, Path::new("/root")));
    }

    #[test]
    fn a_closed_account_gets_the_plain_shell() {
        let shell = database().login("www-data", "").usable_shell();
        assert!(
            matches!(
                shell.as_deref().and_then(Path::to_str),
                Some("/bin/bash" | "/bin/sh")
            ),
            "{shell:?}"
        );
    }
}
