//! Programs of a simulated guest: a few words that a test can use, with the rules of streams kept exactly.
//!
//! | program | what it does |
//! | --- | --- |
//! | `echo WORD…` | prints the words |
//! | `warn WORD…` | prints the words to standard error |
//! | `cat` | prints its input, until that ends |
//! | `exit N` | ends with status N |
//! | `size` | prints the columns and rows of its terminal, at first and at each change |
//! | `sleep` | runs until it gets a signal |
//!
//! Files are whole archives by path: what was written to a path can be read from it. `/etc/hostname` is there from the
//! beginning.

use std::collections::{BTreeMap, VecDeque};

use model::ProgramEnd;
use wire::stream::{End, Exec, FailureCode, Input, Lane, MAX_DATA, Open, Output, TerminalSize, WINDOW};

use super::failed;

/// Two blocks of zeros (POSIX pax, "ustar Interchange Format").
const EMPTY_ARCHIVE: &[u8] = &[0; 1024];

/// What became of an opening.
pub(super) enum Begun {
    Runs(Program),
    Fails(End),
}

/// A running program, or a copy of files.
pub(super) struct Program {
    what: What,
    lane: Lane,
    /// What it will print.
    output: VecDeque<u8>,
    /// Bytes it may still send.
    room: u32,
    /// Bytes of input that were used and not said to be.
    used: u32,
    /// How it ends once everything is printed.
    end: Option<End>,
    over: bool,
}

#[derive(Clone, PartialEq, Eq)]
enum What {
    Cat,
    Size,
    Waits,
    Writes { path: String, archive: Vec<u8> },
}

/// Begins what a stream is for.
pub(super) fn begin(open: Open, files: &BTreeMap<String, Vec<u8>>) -> Begun {
    match open {
        Open::Exec(exec) => run(&exec),
        Open::ReadFiles { path } => match files.get(&path) {
            Some(archive) => Begun::Runs(Program::printing(Lane::Stdout, archive, End::Done)),
            None if path == "/etc/hostname" => {
                Begun::Runs(Program::printing(Lane::Stdout, EMPTY_ARCHIVE, End::Done))
            }
            None => Begun::Fails(failed(FailureCode::NotFound, "there is no such file")),
        },
        Open::WriteFiles { path } => {
            let archive = Vec::new();
            Begun::Runs(Program::new(What::Writes { path, archive }))
        }
    }
}

fn run(exec: &Exec) -> Begun {
    let words: Vec<&str> = exec.arguments.iter().map(String::as_str).collect();
    let done = |status| End::Program(ProgramEnd::Exited(status));
    let program = match words.as_slice() {
        ["echo", words @ ..] => Program::printing(Lane::Stdout, line(words).as_bytes(), done(0)),
        ["warn", words @ ..] => Program::printing(Lane::Stderr, line(words).as_bytes(), done(0)),
        ["exit", status] => Program::printing(Lane::Stdout, b"", done(status.parse().unwrap_or(2))),
        ["cat"] => Program::new(What::Cat),
        ["sleep"] => Program::new(What::Waits),
        ["size"] => {
            let mut program = Program::new(What::Size);
            program.print_size(
                exec.terminal
                    .as_ref()
                    .map(|terminal| terminal.size)
                    .unwrap_or_default(),
            );
            program
        }
        [] => return Begun::Fails(failed(FailureCode::Invalid, "there is nothing to run")),
        [_, ..] => return Begun::Fails(failed(FailureCode::NotFound, "there is no such program")),
    };
    Begun::Runs(program)
}

fn line(words: &[&str]) -> String {
    format!("{}\n", words.join(" "))
}

impl Program {
    fn new(what: What) -> Self {
        Self {
            what,
            lane: Lane::Stdout,
            output: VecDeque::new(),
            room: WINDOW,
            used: 0,
            end: None,
            over: false,
        }
    }

    fn printing(lane: Lane, bytes: &[u8], end: End) -> Self {
        Self {
            lane,
            output: bytes.iter().copied().collect(),
            end: Some(end),
            ..Self::new(What::Waits)
        }
    }

    fn print_size(&mut self, size: TerminalSize) {
        self.output
            .extend(format!("{} {}\n", size.columns, size.rows).bytes());
    }

    pub(super) fn hear(&mut self, input: Input) {
        match input {
            Input::Data(bytes) => match &mut self.what {
                // Used as it is printed.
                What::Cat => self.output.extend(bytes),
                What::Writes { archive, .. } => {
                    self.used += u32::try_from(bytes.len()).unwrap_or_default();
                    archive.extend(bytes);
                }
                What::Size | What::Waits => self.used += u32::try_from(bytes.len()).unwrap_or_default(),
            },
            Input::End => match self.what {
                What::Cat | What::Size => self.end_with(End::Program(ProgramEnd::Exited(0))),
                What::Writes { .. } => self.end_with(End::Done),
                What::Waits => {}
            },
            Input::Resize(size) => {
                if self.what == What::Size {
                    self.print_size(size);
                }
            }
            Input::Signal(number) => self.end_with(End::Program(ProgramEnd::Killed(number))),
            Input::Credit(count) => self.room += count,
            Input::Close => {
                self.output.clear();
                self.end_with(End::Program(ProgramEnd::Killed(1)));
            }
        }
    }

    fn end_with(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// What it says now, within its room.
    pub(super) fn say(&mut self) -> Vec<Output> {
        let mut said = Vec::new();
        while self.room > 0 && !self.output.is_empty() {
            let room = usize::try_from(self.room).unwrap_or(usize::MAX);
            let count = self.output.len().min(room).min(MAX_DATA);
            let bytes: Vec<u8> = self.output.drain(..count).collect();
            let count = u32::try_from(count).unwrap_or_default();
            self.room -= count;
            if self.what == What::Cat {
                self.used += count;
            }
            said.push(Output::Data {
                lane: self.lane,
                bytes,
            });
        }
        if self.used > 0 && self.end.is_none() {
            said.push(Output::Credit(std::mem::take(&mut self.used)));
        }
        if self.output.is_empty()
            && let Some(end) = self.end.clone()
        {
            self.over = true;
            said.push(Output::Ended(end));
        }
        said
    }

    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// The archive that was written, once it is whole.
    pub(super) fn written(&self) -> Option<(String, Vec<u8>)> {
        match &self.what {
            What::Writes { path, archive } if self.over && self.end == Some(End::Done) => {
                Some((path.clone(), archive.clone()))
            }
            What::Writes { .. } | What::Cat | What::Size | What::Waits => None,
        }
    }
}
