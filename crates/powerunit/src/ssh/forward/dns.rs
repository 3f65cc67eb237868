//! One question to a name server over UDP (RFC 1035): the addresses of a name.
//!
//! Servers are asked in turn, each again once. What does not repeat the question is not the answer. Servers do the work
//! of following aliases; every address they send counts. An answer that was cut short is used as far as it goes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::rand::{GetRandomFlags, getrandom};
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// As the C library's five seconds, but somebody looks at a browser meanwhile.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const ROUNDS: usize = 2;
/// An answer over UDP without extensions has at most 512 bytes (RFC 1035 section 4.2.1); some servers do not care.
const LONGEST: usize = 4096;

const HEADER: usize = 12;
const IS_ANSWER: u16 = 1 << 15;
const RECURSION_DESIRED: u16 = 1 << 8;
const CODE: u16 = 0xf;
const NO_ERROR: u16 = 0;
const NAME_ERROR: u16 = 3;
const INTERNET: u16 = 1;

/// Which addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    V4,
    V6,
}

/// What a server knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// At least one.
    Addresses(Vec<IpAddr>),
    /// The name exists, and has no address of this kind.
    NoSuchKind,
    NoSuchName,
}

impl Kind {
    /// A and AAAA (RFC 1035 section 3.2.2, RFC 3596 section 2.1).
    fn code(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::V6 => 28,
        }
    }

    fn address(self, data: &[u8]) -> Option<IpAddr> {
        match self {
            Self::V4 => <[u8; 4]>::try_from(data)
                .ok()
                .map(|bytes| Ipv4Addr::from(bytes).into()),
            Self::V6 => <[u8; 16]>::try_from(data)
                .ok()
                .map(|bytes| Ipv6Addr::from(bytes).into()),
        }
    }
}

/// Asks until a server answers.
///
/// # Errors
///
/// `InvalidInput` for what cannot be a name, `TimedOut` if no server gave an answer that can be used.
pub(super) async fn ask(servers: &[SocketAddr], name: &str, kind: Kind) -> io::Result<Answer> {
    let mut id = [0; 2];
    getrandom(&mut id, GetRandomFlags::empty())?;
    let question = question(u16::from_be_bytes(id), name, kind).ok_or(io::ErrorKind::InvalidInput)?;
    for server in std::iter::repeat_n(servers, ROUNDS).flatten() {
        if let Ok(Ok(Some(answer))) = timeout(ANSWER_WITHIN, exchange(*server, &question, kind)).await {
            return Ok(answer);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// `None` if the server cannot help.
async fn exchange(server: SocketAddr, question: &[u8], kind: Kind) -> io::Result<Option<Answer>> {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    // A port of its own for each question, which the kernel draws: with the id, 32 bits that a forger must guess.
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; LONGEST];
    loop {
        let count = socket.recv(&mut buffer).await?;
        match read(buffer.get(..count).unwrap_or_default(), question, kind) {
            Reading::Answer(answer) => return Ok(Some(answer)),
            Reading::Refused => return Ok(None),
            Reading::SomethingElse => {}
        }
    }
}

/// Pure: the message; `None` if a label is empty or too long (RFC 1035 section 2.3.4).
fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let counts = [1, 0, 0, 0];
    let mut message: Vec<u8> = [id, RECURSION_DESIRED]
        .into_iter()
        .chain(counts)
        .flat_map(u16::to_be_bytes)
        .collect();
    for label in name.split('.') {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|length| (1..=63).contains(length))?;
        message.push(length);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend([kind.code(), INTERNET].into_iter().flat_map(u16::to_be_bytes));
    (message.len() <= HEADER + 255 + 4).then_some(message)
}

#[derive(Debug, PartialEq, Eq)]
enum Reading {
    Answer(Answer),
    Refused,
    SomethingElse,
}

/// Pure: what a message says to the question.
fn read(message: &[u8], question: &[u8], kind: Kind) -> Reading {
    let asked = question.get(HEADER..).unwrap_or_default();
    let repeats = message.get(HEADER..).is_some_and(|rest| {
        rest.get(..asked.len())
            .is_some_and(|repeated| repeated.eq_ignore_ascii_case(asked))
    });
    let flags = number(message, 2).unwrap_or(0);
    if !repeats || message.get(..2) != question.get(..2) || flags & IS_ANSWER == 0 {
        return Reading::SomethingElse;
    }
    match flags & CODE {
        NO_ERROR => {
            let records = number(message, 6).unwrap_or(0);
            let addresses = addresses(message, question.len(), records, kind);
            Reading::Answer(if addresses.is_empty() {
                Answer::NoSuchKind
            } else {
                Answer::Addresses(addresses)
            })
        }
        NAME_ERROR => Reading::Answer(Answer::NoSuchName),
        _ => Reading::Refused,
    }
}

/// Pure: those of the answer section, as far as it can be read.
fn addresses(message: &[u8], start: usize, records: u16, kind: Kind) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut at = start;
    for _ in 0..records {
        let Some((record, end)) = record(message, at) else {
            break;
        };
        if record.kind == kind.code() && record.class == INTERNET {
            found.extend(kind.address(record.data));
        }
        at = end;
    }
    found
}

struct Record<'a> {
    kind: u16,
    class: u16,
    data: &'a [u8],
}

/// The record at a place, and where the next one begins.
fn record(message: &[u8], at: usize) -> Option<(Record<'_>, usize)> {
    let fixed = skip_name(message, at)?;
    let length = usize::from(number(message, fixed.checked_add(8)?)?);
    let start = fixed.checked_add(10)?;
    let end = start.checked_add(length)?;
    let record = Record {
        kind: number(message, fixed)?,
        class: number(message, fixed.checked_add(2)?)?,
        data: message.get(start..end)?,
    };
    Some((record, end))
}

/// Where a name ends; a pointer (RFC 1035 section 4.1.4) is its end, and need not be followed.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return at.checked_add(1),
            length @ 1..=63 => at = at.checked_add(usize::from(length))?.checked_add(1)?,
            192.. => return at.checked_add(2),
            64..=191 => return None,
        }
    }
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..at.checked_add(2)?)?;
    <[u8; 2]>::try_from(bytes).ok().map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// An alias, and two addresses behind it.
    fn answer_to(question: &[u8]) -> Vec<u8> {
        let mut message = question.to_vec();
        message[2..4].copy_from_slice(&(IS_ANSWER | RECURSION_DESIRED).to_be_bytes());
        message[6..8].copy_from_slice(&3u16.to_be_bytes());
        let alias = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01b\xc0\x0e";
        message.extend(alias);
        for last in [7, 8] {
            message.extend(b"\x01b\xc0\x0e\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02");
            message.push(last);
        }
        message
    }

    #[test]
    fn addresses_behind_an_alias_are_found() {
        let question = question(7, "a.example", Kind::V4).unwrap();
        assert_eq!(&question[HEADER..], b"\x01a\x07example\0\0\x01\0\x01");
        let addresses = vec!["192.0.2.7".parse().unwrap(), "192.0.2.8".parse().unwrap()];
        let expected = Reading::Answer(Answer::Addresses(addresses));
        assert_eq!(read(&answer_to(&question), &question, Kind::V4), expected);
    }

    #[test]
    fn what_is_no_answer_to_the_question_is_passed_over() {
        let asked = question(7, "a.example", Kind::V4).unwrap();
        let other = answer_to(&question(7, "b.example", Kind::V4).unwrap());
        assert_eq!(read(&other, &asked, Kind::V4), Reading::SomethingElse);
        let other = answer_to(&question(8, "a.example", Kind::V4).unwrap());
        assert_eq!(read(&other, &asked, Kind::V4), Reading::SomethingElse);
        assert_eq!(read(&asked, &asked, Kind::V4), Reading::SomethingElse);
    }

    #[test]
    fn no_such_name_is_not_no_such_address_nor_a_server_in_trouble() {
        let question = question(7, "a.example", Kind::V6).unwrap();
        let with_code = |code: u16| {
            let mut message = question.clone();
            message[2..4].copy_from_slice(&(IS_ANSWER | code).to_be_bytes());
            read(&message, &question, Kind::V6)
        };
        assert_eq!(with_code(NO_ERROR), Reading::Answer(Answer::NoSuchKind));
        assert_eq!(with_code(NAME_ERROR), Reading::Answer(Answer::NoSuchName));
        assert_eq!(with_code(2), Reading::Refused);
    }

    #[test]
    fn a_message_may_end_anywhere() {
        let question = question(7, "a.example", Kind::V4).unwrap();
        let message = answer_to(&question);
        for end in 0..message.len() {
            let _ = read(&message[..end], &question, Kind::V4);
        }
        let mut hostile = message.clone();
        hostile[6..8].copy_from_slice(&u16::MAX.to_be_bytes());
        assert!(matches!(read(&hostile, &question, Kind::V4), Reading::Answer(_)));
    }

    #[test]
    fn what_cannot_be_a_name_is_not_asked_for() {
        let long = "x".repeat(64);
        for name in ["", "a..b", long.as_str(), &["x"; 130].join(".")] {
            assert_eq!(question(1, name, Kind::V4), None, "{name}");
        }
    }

    #[tokio::test]
    async fn a_silent_server_is_followed_by_the_next() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let servers = [silent.local_addr().unwrap(), server.local_addr().unwrap()];
        let answering = async {
            let mut buffer = [0; 512];
            let (count, from) = server.recv_from(&mut buffer).await.unwrap();
            let forged = answer_to(&question(0, "other.example", Kind::V4).unwrap());
            server.send_to(&forged, from).await.unwrap();
            server.send_to(&answer_to(&buffer[..count]), from).await.unwrap();
        };
        let start = Instant::now();
        let (answer, ()) = tokio::join!(ask(&servers, "a.example", Kind::V4), answering);
        assert!(matches!(answer, Ok(Answer::Addresses(addresses)) if addresses.len() == 2));
        assert!(start.elapsed() < ANSWER_WITHIN * 2);
    }
}
