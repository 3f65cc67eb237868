//! How a person leaves a console, whose every other key belongs to the VM.
//!
//! `Ctrl-]` leaves at once; `~.` on a new line does, as in ssh, and `~~` there is one `~`.

/// `Ctrl-]`, as in telnet.
const CTRL_BRACKET: u8 = 0x1d;

/// Where in what is typed an escape may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Line,
    LineBegin,
    Tilde,
}

/// Looks for escapes in what is typed, however it is cut into pieces.
#[derive(Debug)]
pub(crate) struct Escapes(Place);

/// What is to be done with a piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Typed {
    /// What goes to the VM.
    pub(crate) bytes: Vec<u8>,
    /// Whether the person leaves behind it.
    pub(crate) leaves: bool,
}

impl Escapes {
    pub(crate) const fn new() -> Self {
        Self(Place::LineBegin)
    }

    pub(crate) fn take(&mut self, piece: &[u8]) -> Typed {
        let mut bytes = Vec::with_capacity(piece.len() + 1);
        for &byte in piece {
            match (self.0, byte) {
                (_, CTRL_BRACKET) | (Place::Tilde, b'.') => return Typed { bytes, leaves: true },
                (Place::LineBegin, b'~') => {
                    self.0 = Place::Tilde;
                    continue;
                }
                (Place::Tilde, b'~') | (Place::Line | Place::LineBegin, _) => bytes.push(byte),
                (Place::Tilde, _) => bytes.extend([b'~', byte]),
            }
            self.0 = match byte {
                b'\r' | b'\n' => Place::LineBegin,
                _ => Place::Line,
            };
        }
        Typed { bytes, leaves: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_gets_out_and_everything_else_gets_through() {
        for (typed, sent, leaves) in [
            ("ls\r", "ls\r", false),
            ("~.", "", true),
            ("ls\r~.rest", "ls\r", true),
            ("ls\n~.", "ls\n", true),
            ("a~.", "a~.", false),
            ("~~.", "~.", false),
            ("~a", "~a", false),
            ("~\r~.", "~\r", true),
            ("x\x1dy", "x", true),
            ("~", "", false),
        ] {
            let expected = Typed {
                bytes: sent.into(),
                leaves,
            };
            assert_eq!(Escapes::new().take(typed.as_bytes()), expected, "{typed:?}");
        }
    }

    #[test]
    fn an_escape_may_come_in_pieces() {
        let mut escapes = Escapes::new();
        let mut sent = Vec::new();
        for piece in ["a", "\r", "~"] {
            let typed = escapes.take(piece.as_bytes());
            assert!(!typed.leaves);
            sent.extend(typed.bytes);
        }
        assert!(escapes.take(b".").leaves);
        assert_eq!(sent, b"a\r");
    }
}
