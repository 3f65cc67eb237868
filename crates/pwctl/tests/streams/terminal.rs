//! On a terminal of the test's own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, tcgetattr};
use tokio::process::{Child, Command};

use super::{LIMIT, signal, with_web};
use crate::cloud::Cloud;

pub(crate) const SIZE: Winsize = Winsize {
    ws_row: 30,
    ws_col: 100,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// A program on a terminal.
pub(crate) struct Terminal {
    keys: File,
    side: OwnedFd,
    shown: mpsc::Receiver<Vec<u8>>,
    pub(crate) seen: String,
    child: Child,
}

impl Terminal {
    pub(crate) fn start(cloud: &Cloud, words: &[&str]) -> Self {
        Self::of(cloud.command(words), SIZE)
    }

    /// One that is so many columns wide.
    pub(crate) fn start_on(cloud: &Cloud, words: &[&str], columns: u16) -> Self {
        let size = Winsize {
            ws_col: columns,
            ..SIZE
        };
        Self::of(cloud.command(words), size)
    }

    pub(crate) fn start_with(cloud: &Cloud, words: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = cloud.command(words);
        command.envs(env.iter().copied());
        Self::of(command, SIZE)
    }

    /// One that is pwctl's own: `/dev/tty` is it.
    pub(crate) fn start_owned(cloud: &Cloud, words: &[&str]) -> Self {
        let mut command = cloud.command_of("/usr/bin/setsid");
        command.args(["-cw", env!("CARGO_BIN_EXE_pwctl")]).args(words);
        Self::of(command, SIZE)
    }

    pub(crate) fn of(mut command: Command, size: Winsize) -> Self {
        let pty = openpty(Some(&size), None).unwrap();
        command
            .stdin(pty.slave.try_clone().unwrap())
            .stdout(pty.slave.try_clone().unwrap());
        command
            .stderr(pty.slave.try_clone().unwrap())
            .env("TERM", "vt220")
            .kill_on_drop(true);
        let child = command.spawn().unwrap();
        let mut screen = File::from(pty.master.try_clone().unwrap());
        let (sender, shown) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            keys: pty.master.into(),
            side: pty.slave,
            shown,
            seen: String::new(),
            child,
        }
    }

    pub(crate) fn until(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let Ok(shown) = self.shown.recv_timeout(LIMIT) else {
                panic!("no {text:?} in {:?}", self.seen)
            };
            self.seen += &String::from_utf8_lossy(&shown);
        }
    }

    /// The same for what a line editor shows: it may write a text in pieces, and move and colour between them.
    pub(crate) fn until_screen(&mut self, text: &str) {
        let is_shown = |seen: &str| bare(seen).contains(text);
        while !is_shown(&self.seen) {
            let Ok(shown) = self.shown.recv_timeout(LIMIT) else {
                panic!("no {text:?} in {:?}", self.seen)
            };
            self.seen += &String::from_utf8_lossy(&shown);
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Whether keys are passed on as they are.
    pub(crate) fn is_raw(&self) -> bool {
        let flags = tcgetattr(self.side.as_fd()).unwrap().local_flags;
        !flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }

    /// Whether keys are shown as they are typed.
    pub(crate) fn echoes(&self) -> bool {
        tcgetattr(self.side.as_fd())
            .unwrap()
            .local_flags
            .contains(LocalFlags::ECHO)
    }

    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        ended
            .unwrap_or_else(|_| panic!("it goes on: {:?}", self.seen))
            .unwrap()
            .code()
    }
}

/// The text without escape sequences and carriage returns.
fn bare(text: &str) -> String {
    let mut bare = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => {
                if chars.next() == Some('[') {
                    while chars.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
                }
            }
            '\r' | '\x08' => {}
            c => bare.push(c),
        }
    }
    bare
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_a_terminal_where_there_is_one() {
    let cloud = with_web().await;
    let mut terminal = Terminal::start(&cloud, &["exec", "web", "--", "tell"]);
    terminal.until("columns: 100, rows: 30");
    terminal.until("kind: \"vt220\"");
    terminal.press("\x03\r~.");
    // Ctrl-C is a key like any other, and so are a console's escapes.
    terminal.until("typed");
    terminal.until("\\u{3}");
    assert!(terminal.is_raw());
    let larger = Winsize { ws_col: 120, ..SIZE };
    let stty = std::process::Command::new("stty")
        .args(["cols", &larger.ws_col.to_string()])
        .stdin(terminal.side.try_clone().unwrap())
        .status()
        .unwrap();
    assert!(stty.success());
    // A terminal that controls pwctl would send this by itself.
    signal(&terminal.child, Signal::SIGWINCH);
    terminal.until("columns: 120, rows: 30");
    terminal.press("q");
    assert_eq!(terminal.ended().await, Some(0));
    assert!(!terminal.is_raw());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_as_before_after_every_end() {
    let cloud = with_web().await;
    let mut terminal = Terminal::start(&cloud, &["exec", "web", "--", "deaf"]);
    let becomes_raw = async {
        while !terminal.is_raw() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, becomes_raw)
        .await
        .expect("a raw terminal");
    signal(&terminal.child, Signal::SIGTERM);
    assert_eq!(terminal.ended().await, Some(143));
    assert!(!terminal.is_raw());
    cloud.vm.until_closed(1).await;
    let mut terminal = Terminal::start(&cloud, &["exec", "web", "--", "missing"]);
    assert_eq!(terminal.ended().await, Some(127));
    terminal.until("pwctl: there is no such program in PATH\r\n");
    assert!(!terminal.is_raw());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_gets_out_of_a_console() {
    let cloud = with_web().await;
    for (escape, closes) in [("\x1d", 1), ("\r~.", 2)] {
        let mut terminal = Terminal::start(&cloud, &["console", "web"]);
        terminal.until("the console of web; leave with Ctrl-] or with ~. on a new line");
        terminal.until("the last line\r");
        terminal.press("help");
        terminal.until("help");
        assert!(terminal.is_raw());
        terminal.press(escape);
        assert_eq!(terminal.ended().await, Some(0), "{escape:?}");
        assert!(!terminal.is_raw());
        cloud.vm.until_closed(closes).await;
    }
    let mut terminal = Terminal::start(&cloud, &["console", "web", "--read-only"]);
    terminal.until("leave with Ctrl-C");
    terminal.until("the last line\r");
    assert!(!terminal.is_raw());
    signal(&terminal.child, Signal::SIGINT);
    assert_eq!(terminal.ended().await, Some(130));
}
