//! A client that says what no well-behaved one does: packets by hand, to the server's process without SSH.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

pub(crate) const OPEN: u8 = 3;
pub(crate) const CLOSE: u8 = 4;
pub(crate) const READ: u8 = 5;
pub(crate) const WRITE: u8 = 6;
pub(crate) const FSTAT: u8 = 8;
pub(crate) const FSETSTAT: u8 = 10;
pub(crate) const OPENDIR: u8 = 11;
pub(crate) const READDIR: u8 = 12;
pub(crate) const EXTENDED: u8 = 200;

pub(crate) const STATUS: u8 = 101;
pub(crate) const HANDLE: u8 = 102;
pub(crate) const DATA: u8 = 103;
pub(crate) const NAME: u8 = 104;
pub(crate) const ATTRS: u8 = 105;
pub(crate) const EXTENDED_REPLY: u8 = 201;

/// One answer without its id.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
}

/// A server of its own, greeted.
pub(crate) struct Raw {
    pub(crate) child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    last: u32,
}

impl Raw {
    pub(crate) fn start() -> Self {
        let mut raw = Self::silent();
        raw.send(b"\x01\0\0\0\x03");
        assert_eq!(raw.packet().unwrap()[..5], *b"\x02\0\0\0\x03");
        raw
    }

    /// Before the greeting.
    pub(crate) fn silent() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_powerunit"))
            .arg("sftp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take().unwrap(),
            stdout: child.stdout.take().unwrap(),
            child,
            last: 0,
        }
    }

    pub(crate) fn send(&mut self, packet: &[u8]) {
        self.send_bytes(&[&(packet.len() as u32).to_be_bytes(), packet].concat());
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stdin.write_all(bytes).unwrap();
    }

    /// The next packet; `None` at the end.
    pub(crate) fn packet(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.stdout.read_exact(&mut length).ok()?;
        let mut packet = vec![0; u32::from_be_bytes(length) as usize];
        self.stdout.read_exact(&mut packet).unwrap();
        Some(packet)
    }

    pub(crate) fn ask(&mut self, kind: u8, body: &[u8]) -> Answer {
        self.last += 1;
        let id = self.last.to_be_bytes();
        self.send(&[&[kind], &id[..], body].concat());
        let packet = self.packet().unwrap();
        assert_eq!(packet[1..5], id, "the answer to another request");
        Answer {
            kind: packet[0],
            body: packet[5..].to_vec(),
        }
    }

    /// Asks for what ends in a status, and gives its code.
    pub(crate) fn status(&mut self, kind: u8, body: &[u8]) -> u32 {
        self.ask(kind, body).status()
    }

    /// A handle as the packets that use it carry it.
    pub(crate) fn open(&mut self, path: &std::path::Path, flags: u32) -> Vec<u8> {
        let body = [
            &string(path.as_os_str().as_encoded_bytes())[..],
            &flags.to_be_bytes(),
            &[0; 4],
        ]
        .concat();
        self.ask(OPEN, &body).handle()
    }

    /// Closes our end, and gives how the server ended and what it said.
    pub(crate) fn end(self) -> (ExitStatus, String) {
        drop((self.stdin, self.stdout));
        let output = self.child.wait_with_output().unwrap();
        (
            output.status,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }
}

impl Answer {
    pub(crate) fn status(&self) -> u32 {
        assert_eq!(self.kind, STATUS, "{self:?}");
        u32::from_be_bytes(self.body[..4].try_into().unwrap())
    }

    pub(crate) fn handle(&self) -> Vec<u8> {
        assert_eq!(self.kind, HANDLE, "{self:?}");
        self.body.clone()
    }

    pub(crate) fn data(&self) -> &[u8] {
        assert_eq!(self.kind, DATA, "{self:?}");
        &self.body[4..]
    }
}

pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}
