//! What a login may do besides running programs.

/// Whatever let the client in, a key's line or a certificate, may have narrowed these (sshd(8), ssh-keygen(1)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Permissions {
    /// Asking for a terminal.
    pub(super) terminal: bool,
    /// TCP ports and UNIX sockets, in both directions.
    pub(super) forwarding: bool,
    /// Reaching the client's key agent from inside.
    pub(super) agent: bool,
}

impl Permissions {
    /// Those of a key that stands in the configuration without options.
    pub(super) const ALL: Self = Self {
        terminal: true,
        forwarding: true,
        agent: true,
    };

    /// Programs and nothing else: where a certificate and the option `restrict` begin.
    pub(super) const NONE: Self = Self {
        terminal: false,
        forwarding: false,
        agent: false,
    };
}
