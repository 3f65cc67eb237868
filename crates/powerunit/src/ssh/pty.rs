//! Pseudo-terminals: made, sized, and set as the client's own terminal is (RFC 4254 section 8).

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use russh::Pty as Mode;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, Winsize, tcgetattr,
    tcsetattr, tcsetwinsize,
};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::accounts::Account;
use crate::terminal;
pub(super) use crate::terminal::size;

/// What a client asked for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) term: String,
    pub(super) size: Winsize,
    pub(super) modes: Vec<(Mode, u32)>,
}

/// Our end of a terminal; the clones are one terminal.
#[derive(Debug, Clone)]
pub(super) struct Terminal(Arc<AsyncFd<OwnedFd>>);

/// A terminal before its program runs.
pub(super) struct Opened {
    pub(super) terminal: Terminal,
    /// The program's end.
    pub(super) inside: OwnedFd,
    /// Its path, for `SSH_TTY`.
    pub(super) path: String,
}

/// Opens a terminal that belongs to the account.
pub(super) fn open(request: &Request, account: &Account) -> io::Result<Opened> {
    let terminal::Opened { ours, inside, path } = terminal::open(request.size, account)?;
    let mut termios = tcgetattr(&inside)?;
    apply(&mut termios, &request.modes);
    tcsetattr(&inside, OptionalActions::Now, &termios)?;
    Ok(Opened {
        terminal: Terminal::watch(ours)?,
        inside,
        path,
    })
}

impl Terminal {
    fn watch(ours: OwnedFd) -> io::Result<Self> {
        #[expect(
            unsafe_code,
            reason = "tokio cannot see that an owned descriptor stays what it is"
        )]
        // SAFETY: an `OwnedFd` is open until it is dropped and always gives the same number; the `AsyncFd` owns it,
        // sits behind an `Arc`, and lends it out only by shared reference.
        let watched = unsafe { AsyncFd::register(ours) };
        Ok(Self(Arc::new(watched?)))
    }

    /// The client's window has another size now.
    pub(super) fn resize(&self, size: Winsize) {
        let _ = tcsetwinsize(self.0.get_ref(), size);
    }

    /// What is left to read when the program has ended, without waiting for others that hold the terminal.
    pub(super) fn rest(&self, buffer: &mut [u8]) -> usize {
        rustix::io::read(self.0.get_ref(), buffer).unwrap_or(0)
    }
}

impl AsyncRead for Terminal {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            let read = guard.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), buffer.initialize_unfilled())?));
            match read {
                Ok(Ok(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // Nobody holds the other end any more: that is a terminal's end of file.
                Ok(Err(error)) if error.raw_os_error() == Some(nix::errno::Errno::EIO as i32) => {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(context))?;
            match guard.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), bytes)?)) {
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// A terminal has no half-close: a client without input leaves it open, as a person who does not type.
    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn apply(termios: &mut Termios, modes: &[(Mode, u32)]) {
    for &(mode, value) in modes {
        let on = value != 0;
        if let Some(index) = special(mode) {
            // 255 means "no character" (RFC 4254 section 8); Linux writes that as 0.
            let code = u8::try_from(value).unwrap_or(255);
            termios.special_codes[index] = if code == 255 { 0 } else { code };
        } else if let Some(flag) = input(mode) {
            termios.input_modes.set(flag, on);
        } else if let Some(flag) = local(mode) {
            termios.local_modes.set(flag, on);
        } else if let Some(flag) = output(mode) {
            termios.output_modes.set(flag, on);
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "speeds, and modes that Linux does not have, change nothing"
)]
fn special(mode: Mode) -> Option<SpecialCodeIndex> {
    Some(match mode {
        Mode::VINTR => SpecialCodeIndex::VINTR,
        Mode::VQUIT => SpecialCodeIndex::VQUIT,
        Mode::VERASE => SpecialCodeIndex::VERASE,
        Mode::VKILL => SpecialCodeIndex::VKILL,
        Mode::VEOF => SpecialCodeIndex::VEOF,
        Mode::VEOL => SpecialCodeIndex::VEOL,
        Mode::VEOL2 => SpecialCodeIndex::VEOL2,
        Mode::VSTART => SpecialCodeIndex::VSTART,
        Mode::VSTOP => SpecialCodeIndex::VSTOP,
        Mode::VSUSP => SpecialCodeIndex::VSUSP,
        Mode::VREPRINT => SpecialCodeIndex::VREPRINT,
        Mode::VWERASE => SpecialCodeIndex::VWERASE,
        Mode::VLNEXT => SpecialCodeIndex::VLNEXT,
        Mode::VDISCARD => SpecialCodeIndex::VDISCARD,
        _ => return None,
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other modes are not input modes"
)]
fn input(mode: Mode) -> Option<InputModes> {
    Some(match mode {
        Mode::IGNPAR => InputModes::IGNPAR,
        Mode::PARMRK => InputModes::PARMRK,
        Mode::INPCK => InputModes::INPCK,
        Mode::ISTRIP => InputModes::ISTRIP,
        Mode::INLCR => InputModes::INLCR,
        Mode::IGNCR => InputModes::IGNCR,
        Mode::ICRNL => InputModes::ICRNL,
        Mode::IXON => InputModes::IXON,
        Mode::IXANY => InputModes::IXANY,
        Mode::IXOFF => InputModes::IXOFF,
        Mode::IMAXBEL => InputModes::IMAXBEL,
        Mode::IUTF8 => InputModes::IUTF8,
        _ => return None,
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other modes are not local modes"
)]
fn local(mode: Mode) -> Option<LocalModes> {
    Some(match mode {
        Mode::ISIG => LocalModes::ISIG,
        Mode::ICANON => LocalModes::ICANON,
        Mode::ECHO => LocalModes::ECHO,
        Mode::ECHOE => LocalModes::ECHOE,
        Mode::ECHOK => LocalModes::ECHOK,
        Mode::ECHONL => LocalModes::ECHONL,
        Mode::NOFLSH => LocalModes::NOFLSH,
        Mode::TOSTOP => LocalModes::TOSTOP,
        Mode::IEXTEN => LocalModes::IEXTEN,
        Mode::ECHOCTL => LocalModes::ECHOCTL,
        Mode::ECHOKE => LocalModes::ECHOKE,
        Mode::PENDIN => LocalModes::PENDIN,
        _ => return None,
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other modes are not output modes"
)]
fn output(mode: Mode) -> Option<OutputModes> {
    Some(match mode {
        Mode::OPOST => OutputModes::OPOST,
        Mode::ONLCR => OutputModes::ONLCR,
        Mode::OCRNL => OutputModes::OCRNL,
        Mode::ONOCR => OutputModes::ONOCR,
        Mode::ONLRET => OutputModes::ONLRET,
        _ => return None,
    })
}
