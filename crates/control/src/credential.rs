//! The texts that let somebody in: tokens and one-time codes. Only their digests are kept.
//!
//! A token is `pwt_`, 160 random bits and a checksum over both, in base 62. The checksum tells a token that was cut or
//! mistyped from one that is unknown, without asking the memory. 160 bits cannot be guessed, so a plain SHA-256 is enough
//! and a lookup by digest leaks nothing worth timing.
//!
//! A one-time code is typed by hand: 80 random bits in base 32, in groups of four, large or small letters. It is good for
//! a day and for one use, and attempts are few in a second.

use data_encoding::BASE32_NOPAD;
use model::Digest;
use sha2::{Digest as _, Sha256};

use crate::clock::draw;
use crate::{Entropy, EntropyError, TokenText};

const PREFIX: &str = "pwt_";
const RANDOM_BYTES: usize = 20;
/// 62^27 is more than 2^160.
const RANDOM_DIGITS: usize = 27;
/// 62^6 is more than 2^32.
const CHECK_DIGITS: usize = 6;

const CODE_BYTES: usize = 10;
/// Letters of a code that stand together.
const CODE_GROUP: usize = 4;

/// The text of a new one-time code.
pub(crate) fn code_text(entropy: &dyn Entropy) -> Result<TokenText, EntropyError> {
    Ok(TokenText::new(code_of(draw(entropy)?)))
}

fn code_of(random: [u8; CODE_BYTES]) -> String {
    let letters: Vec<char> = BASE32_NOPAD.encode(&random).chars().collect();
    let groups = letters
        .chunks(CODE_GROUP)
        .map(|group| group.iter().collect::<String>());
    groups.collect::<Vec<_>>().join("-")
}

/// What is kept of a code, whichever way it was typed.
pub(crate) fn code_digest(typed: &str) -> Digest {
    let letters = typed.chars().filter(|letter| letter.is_ascii_alphanumeric());
    digest(
        &letters
            .map(|letter| letter.to_ascii_uppercase())
            .collect::<String>(),
    )
}

/// What is kept of a text.
pub(crate) fn digest(text: &str) -> Digest {
    Digest::from_sha256(Sha256::digest(text.as_bytes()).into())
}

/// The text of a new token.
pub(crate) fn token_text(entropy: &dyn Entropy) -> Result<TokenText, EntropyError> {
    Ok(TokenText::new(text_of(draw(entropy)?)))
}

fn text_of(random: [u8; RANDOM_BYTES]) -> String {
    let body = format!("{PREFIX}{}", base62(&random, RANDOM_DIGITS));
    let check = check(&body);
    body + &check
}

/// Whether a text was a token of Pitwall's once, and is whole.
pub(crate) fn is_token(text: &str) -> bool {
    let length = PREFIX.len() + RANDOM_DIGITS + CHECK_DIGITS;
    let alphanumeric = text
        .strip_prefix(PREFIX)
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if text.len() != length || !alphanumeric {
        return false;
    }
    let (body, found) = text.split_at(length - CHECK_DIGITS);
    check(body) == found
}

fn check(body: &str) -> String {
    let hash = digest(body);
    let first: Vec<u8> = hash.as_bytes().iter().copied().take(4).collect();
    base62(&first, CHECK_DIGITS)
}

/// A big-endian number in base 62, with leading zeros.
fn base62(bytes: &[u8], digits: usize) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number = bytes.to_vec();
    let mut text: Vec<char> = (0..digits)
        .map(|_| {
            let digit = divide(&mut number, 62);
            ALPHABET.get(usize::from(digit)).map_or('0', |&b| char::from(b))
        })
        .collect();
    text.reverse();
    text.into_iter().collect()
}

/// Divides a big-endian number in place and gives the remainder.
fn divide(number: &mut [u8], by: u16) -> u8 {
    let mut rest = 0_u16;
    for byte in number {
        let value = rest << 8 | u16::from(*byte);
        // Both fit: the remainder is below 62, so the quotient is below 256.
        *byte = u8::try_from(value / by).unwrap_or(u8::MAX);
        rest = value % by;
    }
    u8::try_from(rest).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_62_is_arithmetic() {
        assert_eq!(base62(&[0], 3), "000");
        assert_eq!(base62(&[61], 3), "00z");
        assert_eq!(base62(&[62], 3), "010");
        assert_eq!(base62(&[0x01, 0x00], 3), "048");
        assert_eq!(base62(&[0xff; 20], 27).len(), 27);
        assert_ne!(base62(&[0xff; 20], 27), base62(&[0xfe; 20], 27));
    }

    #[test]
    fn a_token_knows_when_it_was_mistyped() {
        let text = text_of([7; RANDOM_BYTES]);
        assert_eq!(text.len(), 37);
        assert!(is_token(&text), "{text}");
        assert!(!is_token(&text[..36]));
        assert!(!is_token(&text.replace("pwt_", "pwt-")));
        let mut wrong = text.clone().into_bytes();
        wrong[10] = if wrong[10] == b'a' { b'b' } else { b'a' };
        assert!(!is_token(&String::from_utf8(wrong).unwrap()));
        assert!(!is_token("pwt_ééééééééééééééééé"));
    }

    #[test]
    fn a_code_is_the_same_however_it_is_typed() {
        let text = code_of([0xa5; CODE_BYTES]);
        assert_eq!(text.len(), 19, "{text}");
        let kept = code_digest(&text);
        assert_eq!(code_digest(&text.to_lowercase()), kept);
        assert_eq!(code_digest(&format!(" {} ", text.replace('-', ""))), kept);
        assert_ne!(code_digest(&text[1..]), kept);
        assert_ne!(code_digest(&code_of([0xa4; CODE_BYTES])), kept);
    }
}
