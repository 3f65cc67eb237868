//! On a terminal of the test's own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, tcgetattr};
use tokio::process::Child;

use super::{LIMIT, signal, with_web};
use crate::cloud::Cloud;

const SIZE: Winsize = Winsize {
    ws_row: 30,
    ws_col: 100,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// pwctl on a terminal.
struct Terminal {
    keys: File,
    side: OwnedFd,
    shown: mpsc::Receiver<Vec<u8>>,
    seen: String,
    child: Child,
}

impl Terminal {
    fn start(cloud: &Cloud, words: &[&str]) -> Self {
        let pty = openpty(Some(&SIZE), None).unwrap();
        let mut command = cloud.command(words);
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

    fn until(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let Ok(shown) = self.shown.recv_timeout(LIMIT) else {
                panic!("no {text:?} in {:?}", self.seen)
            };
            self.seen += &String::from_utf8_lossy(&shown);
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Whether keys are passed on as they are.
    fn is_raw(&self) -> bool {
        let flags = tcgetattr(self.side.as_fd()).unwrap().local_flags;
        !flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }

    async fn ended(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        ended
            .unwrap_or_else(|_| panic!("it goes on: {:?}", self.seen))
            .unwrap()
            .code()
    }
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
