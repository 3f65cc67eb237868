//! Pseudo-terminals (pty(7)).

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Gid, OFlags, Uid, fchown, fcntl_getfl, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::accounts::Account;

/// The group that may write to terminals (`mesg`), in every distribution.
const TTY_GROUP: u32 = 5;

/// A terminal before its program runs.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Our end; it does not block.
    pub(crate) ours: OwnedFd,
    /// The program's end.
    pub(crate) inside: OwnedFd,
    /// Its path, for `SSH_TTY`.
    pub(crate) path: String,
}

/// Opens a terminal of this size that belongs to the account.
pub(crate) fn open(size: Winsize, account: &Account) -> io::Result<Opened> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let path = ptsname(&ours, Vec::new())?.to_string_lossy().into_owned();
    let inside = ioctl_tiocgptpeer(&ours, flags)?;
    tcsetwinsize(&inside, size)?;
    if rustix::process::geteuid().is_root() {
        let (owner, group) = (Uid::from_raw(account.uid), Gid::from_raw(TTY_GROUP));
        fchown(&inside, Some(owner), Some(group))?;
    }
    fcntl_setfl(&ours, fcntl_getfl(&ours)?.union(OFlags::NONBLOCK))?;
    Ok(Opened { ours, inside, path })
}

/// Columns and rows, then pixels; what does not fit is nonsense and counts as unknown.
pub(crate) fn size(columns: u32, rows: u32, width: u32, height: u32) -> Winsize {
    let fit = |number: u32| u16::try_from(number).unwrap_or(0);
    Winsize {
        ws_row: fit(rows),
        ws_col: fit(columns),
        ws_xpixel: fit(width),
        ws_ypixel: fit(height),
    }
}
