//! Files through the SSH server on loopback, as `sftp`, `scp` and `sshfs` move them.

mod clients;
#[path = "../support/files.rs"]
mod files;
mod mounted;
mod packets;
mod raw;
