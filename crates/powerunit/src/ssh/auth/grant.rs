//! What somebody who got in may do, as the key's line or the certificate says.

use std::borrow::Cow;

use crate::ssh::permissions::Permissions;
use crate::ssh::process::Task;

/// The name of the server's own file server among commands (sshd_config(5), `ForceCommand`).
const OWN_SFTP: &str = "internal-sftp";

/// What let somebody in, put into effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ssh) struct Grant {
    /// Runs in the place of whatever is asked for.
    pub(super) forced_command: Option<String>,
    pub(in crate::ssh) permissions: Permissions,
}

impl Grant {
    /// What a key of the configuration gives.
    pub(in crate::ssh) const EVERYTHING: Self = Self {
        forced_command: None,
        permissions: Permissions::ALL,
    };

    /// What there is before anything was shown.
    pub(in crate::ssh) const NOTHING: Self = Self {
        forced_command: None,
        permissions: Permissions::NONE,
    };

    /// Pure: what really runs, and what the client had asked for where that is something else
    /// (`SSH_ORIGINAL_COMMAND`; a plain shell has no words).
    pub(in crate::ssh) fn task<'a>(&self, asked: &'a Task) -> (Cow<'a, Task>, Option<Vec<u8>>) {
        let Some(command) = &self.forced_command else {
            return (Cow::Borrowed(asked), None);
        };
        let original = match asked {
            Task::Shell => None,
            Task::Command(words) => Some(words.clone()),
            Task::Sftp => Some(OWN_SFTP.as_bytes().to_vec()),
        };
        let task = if command == OWN_SFTP {
            Task::Sftp
        } else {
            Task::Command(command.clone().into_bytes())
        };
        (Cow::Owned(task), original)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forced_command_replaces_all_and_tells_what_was_asked() {
        let grant = Grant {
            forced_command: Some("backup".into()),
            ..Grant::EVERYTHING
        };
        let asked = Task::Command(b"rm -r /".to_vec());
        let (task, original) = grant.task(&asked);
        assert_eq!(*task, Task::Command(b"backup".to_vec()));
        assert_eq!(original.as_deref(), Some(&b"rm -r /"[..]));
        let (_, original) = grant.task(&Task::Sftp);
        assert_eq!(original.as_deref(), Some(&b"internal-sftp"[..]));
        let (task, original) = grant.task(&Task::Shell);
        assert_eq!(
            (task.into_owned(), original),
            (Task::Command(b"backup".to_vec()), None)
        );
    }

    #[test]
    fn the_own_file_server_can_be_all_there_is() {
        let grant = Grant {
            forced_command: Some("internal-sftp".into()),
            ..Grant::EVERYTHING
        };
        assert_eq!(*grant.task(&Task::Shell).0, Task::Sftp);
    }

    #[test]
    fn nothing_is_replaced_without_one() {
        let (task, original) = Grant::EVERYTHING.task(&Task::Shell);
        assert_eq!((task.into_owned(), original), (Task::Shell, None));
    }
}
