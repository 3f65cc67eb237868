//! Streams: bytes that go to and fro between a client and a VM, from control over `link` to the host, and from there
//! in guest frames to powerunit. Both ways carry the same words.
//!
//! ```text
//!   client                                     VM
//!     │ Open ─────────────────────────────────► │
//!     │ Input: Data … End · Resize · Signal ──► │
//!     │ ◄────────────────── Output: Data … Data │
//!     │ ◄── Credit ── as bytes are used ── Credit ──► │
//!     │ ◄──────────────────────── Output: Ended │   always last
//! ```
//!
//! What always holds:
//!
//! - `Ended` is the last word of every stream; nothing is sent after it, and the side that hears it forgets the stream.
//! - Each side may have at most [`WINDOW`] bytes of data under way that the other has not used; the other gives the
//!   room back by `Credit`, so a slow reader slows its writer and nobody else.
//! - `Close` asks for the end at once: a program gets SIGHUP, an unfinished copy stops. `Ended` still follows.

/// Bytes of data that a side may send before it is given credit, in each direction of each stream.
pub const WINDOW: u32 = 256 * 1024;

/// The longest run of data in one message, bytes.
pub const MAX_DATA: usize = 64 * 1024;

/// What a stream into a guest is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Open {
    /// A program.
    Exec(Exec),
    /// A tar archive (POSIX pax) of what stands at a path, as data.
    ReadFiles {
        /// Absolute.
        path: String,
    },
    /// A tar archive, as input, to be unpacked into the directory at a path.
    WriteFiles {
        /// Absolute.
        path: String,
    },
}

/// A program to be run in a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exec {
    /// The program, and its arguments. A program without a slash is looked for in `PATH`.
    pub arguments: Vec<String>,
    /// `NAME=value` each, over the image's environment.
    pub env: Vec<String>,
    /// An absolute path; empty means the image's.
    pub working_dir: String,
    /// As in an image's configuration; empty means the image's.
    pub user: String,
    /// A terminal of this size; `None` means pipes.
    pub terminal: Option<Terminal>,
}

/// The terminal of a program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Its size at first.
    pub size: TerminalSize,
    /// The variable `TERM`.
    pub kind: String,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TerminalSize {
    /// Its width.
    pub columns: u32,
    /// Its height.
    pub rows: u32,
}

/// Towards the VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Bytes for the program's standard input, or of the archive.
    Data(Vec<u8>),
    /// No more data follows.
    End,
    /// The client's terminal has another size.
    Resize(TerminalSize),
    /// A signal, by its number on Linux, for the program's process group.
    Signal(i32),
    /// So many more bytes of output may be sent.
    Credit(u32),
    /// The client has lost interest.
    Close,
}

/// From the VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// What the program printed, or a part of the archive.
    Data {
        /// Where it was printed; an archive and a terminal are standard output.
        lane: Lane,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// So many more bytes of input may be sent.
    Credit(u32),
    /// The end.
    Ended(End),
}

/// One of a program's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The program ended.
    Program(model::ProgramEnd),
    /// All files were copied.
    Done,
    /// It did not come to that.
    Failed(Failure),
}

/// Why a stream did not do what it was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The cause, for programs.
    pub code: FailureCode,
    /// The cause, for people.
    pub message: String,
}

macro_rules! failure_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// The causes of a failed stream.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum FailureCode {
            $($(#[$doc])* $name,)*
        }

        impl FailureCode {
            /// The stable text form.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The cause of a text form; one that this version does not know is [`FailureCode::Unrecognised`].
            pub fn parse(text: &str) -> Self {
                match text { $($text => Self::$name,)* _ => Self::Unrecognised }
            }
        }
    };
}

failure_codes! {
    /// There is no such program, user or file.
    NotFound = "not_found";
    /// It may not be run, read or written.
    NotPermitted = "not_permitted";
    /// The request makes no sense: no arguments, a path that is not absolute, bytes that are no archive.
    Invalid = "invalid";
    /// The VM does not run.
    NotRunning = "not_running";
    /// The VM's powerunit or VMM cannot do that.
    Unsupported = "unsupported";
    /// The VM, or the way to it, was lost on the way.
    Lost = "lost";
    /// Too many streams are open.
    Busy = "busy";
    /// Something else went wrong in the VM, such as a full disk.
    Failed = "failed";
    /// A cause from another version; its sentence still tells.
    Unrecognised = "unrecognised";
}
