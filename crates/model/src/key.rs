//! SSH public keys as OpenSSH writes them on one line: `TYPE BASE64 [COMMENT]`.
//!
//! The blob is a sequence of strings, each behind its length (RFC 4251 section 5), and begins with its own type
//! (RFC 4253 section 6.6). It is taken apart far enough to know its type, its strength and that nothing else is in it;
//! the guest's SSH server does the cryptography.
//!
//! What people give is read by [`FromStr`], which refuses what no guest would accept, and what is longer than any key is:
//! keys travel in plans and in the configuration of guests. What was kept is read by serde, which asks for the form
//! alone: a key that an earlier version let in must not make a VM unreadable.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, BASE64_NOPAD};
use sha2::{Digest, Sha256};

/// Why a line is not a public key that a VM can accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Empty, or not `TYPE BASE64 [COMMENT]`.
    #[error(
        "this is not an OpenSSH public key; it is one line such as \"ssh-ed25519 AAAA… name\", the content of a .pub file"
    )]
    Form,
    /// The private half.
    #[error("this is a private key; give the .pub file beside it, and keep this one to yourself")]
    Private,
    /// A key with a certificate around it.
    #[error(
        "this is a certificate; give the key that it certifies (the .pub file without -cert), or have the VM accept the \
         authority that signed it"
    )]
    Certificate,
    /// It stands behind an option of `authorized_keys` (`sshd(8)`).
    #[error("the option {0} stands before the key; keys are taken without options, so leave it out")]
    Option(String),
    /// DSA, which OpenSSH has given up.
    #[error("DSA keys are too weak; make another with: ssh-keygen -t ed25519")]
    Dsa,
    /// More than a key is.
    #[error("this line of {0} bytes is too long for a public key; one has up to {LONGEST_LINE}")]
    Long(usize),
    /// More is written behind the key than its name.
    #[error("the comment behind the key has {0} characters; make it {LONGEST_COMMENT} or fewer")]
    Comment(usize),
    /// RSA with a modulus of so many bits.
    #[error("an RSA key of {0} bits is longer than SSH servers take; make one with: ssh-keygen -t ed25519")]
    LongRsa(usize),
    /// RSA with a modulus of so few bits.
    #[error(
        "an RSA key of {0} bits is too weak; give one of {SHORTEST_RSA} or more, or make one with: ssh-keygen -t ed25519"
    )]
    ShortRsa(usize),
    /// A type that is not accepted.
    #[error("keys of type {0} are not accepted; make one with: ssh-keygen -t ed25519")]
    Type(String),
}

/// One accepted public key, with its comment.
#[derive(Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey {
    line: String,
    /// SHA-256 of the blob.
    digest: [u8; 32],
}

/// Bytes of the longest line.
const LONGEST_LINE: usize = 16 * 1024;
const LONGEST_COMMENT: usize = 255;
/// Bytes of the longest name of an application that a security key's key is for; OpenSSH's own is `ssh:`.
const LONGEST_APPLICATION: usize = 255;

/// Bits of the shortest RSA modulus (NIST SP 800-131A).
const SHORTEST_RSA: usize = 2048;
/// Bits of the longest one (OpenSSH, `SSHBUF_MAX_BIGNUM`).
const LONGEST_RSA: usize = 16_384;

const RSA: &str = "ssh-rsa";
const DSA: &str = "ssh-dss";
/// How the types of all certificates end (OpenSSH, PROTOCOL.certkeys).
const CERTIFICATE: &str = "-cert-v01@openssh.com";

const ED25519: &str = "ssh-ed25519";
const ECDSA_256: &str = "ecdsa-sha2-nistp256";
const ECDSA_384: &str = "ecdsa-sha2-nistp384";
const ECDSA_521: &str = "ecdsa-sha2-nistp521";
const SECURITY_ED25519: &str = "sk-ssh-ed25519@openssh.com";
const SECURITY_ECDSA: &str = "sk-ecdsa-sha2-nistp256@openssh.com";

const ACCEPTED: [&str; 7] = [
    ED25519,
    ECDSA_256,
    ECDSA_384,
    ECDSA_521,
    RSA,
    SECURITY_ED25519,
    SECURITY_ECDSA,
];

impl PublicKey {
    /// The line, as it stands in a .pub file.
    pub fn as_str(&self) -> &str {
        &self.line
    }

    /// What tells it from every other key, whatever its comment: `SHA256:` and the digest of its blob in base64 without
    /// padding, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", BASE64_NOPAD.encode(&self.digest))
    }

    /// Its type, as the line names it.
    pub fn kind(&self) -> &str {
        self.line.split_ascii_whitespace().next().unwrap_or_default()
    }

    /// What its owner wrote behind it; empty where that is nothing.
    pub fn comment(&self) -> &str {
        let behind_type = self.line.trim_start().split_once([' ', '\t']);
        let behind_blob = behind_type.and_then(|(_, rest)| rest.trim_start().split_once([' ', '\t']));
        behind_blob.map_or("", |(_, comment)| comment.trim())
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let line = text.trim();
        if line.contains("PRIVATE KEY") {
            return Err(KeyError::Private);
        }
        if let Some(option) = option_before(line) {
            return Err(KeyError::Option(option.to_owned()));
        }
        if line.len() > LONGEST_LINE {
            return Err(KeyError::Long(line.len()));
        }
        let (kind, blob) = frame(line)?;
        is_whole(kind, &blob)?;
        let key = Self::of(line, &blob);
        let comment = key.comment().chars().count();
        if comment > LONGEST_COMMENT {
            return Err(KeyError::Comment(comment));
        }
        Ok(key.tidied())
    }
}

impl PublicKey {
    fn of(line: &str, blob: &[u8]) -> Self {
        Self {
            line: line.to_owned(),
            digest: Sha256::digest(blob).into(),
        }
    }

    /// The same with one space between the words, however many there were.
    fn tidied(self) -> Self {
        let words = self.line.split_ascii_whitespace().take(2);
        let comment = Some(self.comment()).filter(|comment| !comment.is_empty());
        let line = words.chain(comment).collect::<Vec<_>>().join(" ");
        Self { line, ..self }
    }
}

/// The type and the blob of a line whose blob begins with that type.
fn frame(line: &str) -> Result<(&str, Vec<u8>), KeyError> {
    if line.contains(['\n', '\r', '\0']) {
        return Err(KeyError::Form);
    }
    let mut words = line.split_ascii_whitespace();
    let (Some(kind), Some(blob)) = (words.next(), words.next()) else {
        return Err(KeyError::Form);
    };
    let blob = BASE64.decode(blob.as_bytes()).map_err(|_| KeyError::Form)?;
    let mut strings = Strings(&blob);
    let is_named = strings.next() == Some(kind.as_bytes());
    if !is_named || strings.0.is_empty() {
        return Err(KeyError::Form);
    }
    Ok((kind, blob))
}

/// The name of the first option on a line that has a key behind options.
fn option_before(line: &str) -> Option<&str> {
    let mut words = line.split([' ', '\t']);
    let first = words.next()?;
    let is_type = |word: &str| ACCEPTED.contains(&word) || word == DSA || word.ends_with(CERTIFICATE);
    (!is_type(first) && words.any(is_type)).then(|| first.split(['=', ',']).next().unwrap_or(first))
}

/// The strings of a blob, up to the first that is cut.
struct Strings<'a>(&'a [u8]);

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (string, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }
}

/// Refuses a blob that is not what its type says, from end to end.
fn is_whole(kind: &str, blob: &[u8]) -> Result<(), KeyError> {
    let mut strings = Strings(blob);
    let parts: Vec<&[u8]> = strings.by_ref().skip(1).collect();
    let is_read = strings.0.is_empty();
    // An uncompressed point (SEC 1, section 2.3.3), the only form that OpenSSH reads.
    let is_point =
        |point: &[u8], coordinate: usize| point.len() == 1 + 2 * coordinate && point.first() == Some(&4);
    let is_good = match (kind, parts.as_slice()) {
        (RSA, [_, modulus]) => {
            return is_read
                .then_some(modulus)
                .ok_or(KeyError::Form)
                .and_then(|modulus| is_strong(modulus));
        }
        (ED25519, [point]) => point.len() == 32,
        (ECDSA_256, [b"nistp256", point]) => is_point(point, 32),
        (ECDSA_384, [b"nistp384", point]) => is_point(point, 48),
        (ECDSA_521, [b"nistp521", point]) => is_point(point, 66),
        (SECURITY_ED25519, [point, application]) => {
            point.len() == 32 && application.len() <= LONGEST_APPLICATION
        }
        (SECURITY_ECDSA, [b"nistp256", point, application]) => {
            is_point(point, 32) && application.len() <= LONGEST_APPLICATION
        }
        (DSA, _) => return Err(KeyError::Dsa),
        (kind, _) if kind.ends_with(CERTIFICATE) => return Err(KeyError::Certificate),
        (kind, _) if !ACCEPTED.contains(&kind) => return Err(KeyError::Type(kind.to_owned())),
        (_, _) => false,
    };
    (is_good && is_read).then_some(()).ok_or(KeyError::Form)
}

/// Refuses a modulus that is short or very long: a number in two's complement (RFC 4251 section 5, `mpint`).
fn is_strong(modulus: &[u8]) -> Result<(), KeyError> {
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let significant = modulus.get(zeros..).unwrap_or_default();
    let unused = significant.first().map_or(0, |byte| byte.leading_zeros());
    let bits = (significant.len() * 8).saturating_sub(usize::try_from(unused).unwrap_or_default());
    match bits {
        _ if bits < SHORTEST_RSA => Err(KeyError::ShortRsa(bits)),
        _ if bits > LONGEST_RSA => Err(KeyError::LongRsa(bits)),
        _ => Ok(()),
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;

    fn try_from(kept: String) -> Result<Self, KeyError> {
        let (_, blob) = frame(kept.trim())?;
        Ok(Self::of(kept.trim(), &blob))
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        key.line
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEhISEh somebody";

    const RSA_1024: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDE2TZ+wJuvhxQf/xShwFoi4J+nZlgJHkT7VUvIHV/QwPO9dhkaTTKs3ZgQ/jSY+XGeA5b18SEfIWlPMzK5qQXYhqkGnwe7ye3WMx1frfo/dIFhtfJTnZ+o7aqHUwauJqJdxKfcKPv5gQyyl/4N1LzpicEPnxlRZGc9Hz82qKV8PQ==";
    const RSA_2047: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAFi93KFZB5yuKggbJeBtI0LriY+Br4rv/uO7UwEe4elM8rPBIdtHTpBsWw3Rp8RbpN2aVQhCvwK58M1h7RxRKR7ozqVNizvw2KU4ops3nmMsyzVbgc6jBJzKf+6r9ibRFrDr0dYKdsftbZZYJKW2DzmzIbFyDFQjbBClst+vdmRbfPx7FtU67F7HydV5BR1QD9N4Q29OmoalK8QH1nqsIyieimIROuSjdNWmQMnC3yEa+pAaTsYe7PTEgYcTsGjak2SPjIgV3ipl/rmk6CrmKOyPwxl7VAf+bfLGHrhlulNUbGJlk6ZQH8upXaHYyf8r686F7NeVQs7bWmj1l78oWIs=";
    const RSA_2048: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDLgAnDhzjLYdPcghd7SliLo0BDaHQDUs7hFEGQ0Yc1zwurOIVCViCj+dsltpcQi3G7D4vC8F7VVG3SWAsM2jUTAcNhcVHjHqtmrNgnuk+2ljXbqqKDjPuBXmTMUyWGt7+D+uYWNRQQGd5tP2Umf2FLyWFJcIeCAbMnS696NAZj+L1jOwIEikrPpHjVQCllTBJFDgXq8fGuxPEJSQhkdcX8mDjB91XH4ytuWGlnV8wyqoDz6Nsvr3z71EODzwJ/JNVDDxrkAEup2QdjMsqcHPbU7NUnr8Lk+ZiGv3Y+s6mXHBCoPad7NxkGIIb+xIWMrYOCCX8Z0dg2HUcLv6nKg20F";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBDuJt+U8X1CImwy8f7lvhcJQrSKFMANDv1j41HknrG5OVKt/M0U6waBjfX3M2zjoFqcJuIXyVFYecJdNp2wWyA8=";
    const DSA_KEY: &str = "ssh-dss AAAAB3NzaC1kc3MAAACBAJIvEdPGq2NdPtnV1gB5WbSzTSKb+pl4RCLU8hl/eGMf1X9LNPCPYMNW7Fh3vdJaW9j/YXJQbZ/6FpMOkjnhoBqJNQJr3vxeMABBRp4hfc0YCKl7tix8DI4P1KyujJDOzN7aWX/zKBAiPE1yqH3FaMqmR32Y7I0046cLFWP04nPTAAAAFQD/r93IliQidduf7oqLgzas5YuSCwAAAIA1uMFPcxXDmSw2PCYa6d5ZPvz+IiZXGqnbpK6nOmsjIJ6tIviSPY43wm2Pi403i+0VRL/a3Yzvq6Lj3/WIiD6Tt1Wt4sUu0W4OoBfRqslfVBRMf+8k41nYVf9azPfd/aEzCEjRpNptZXfqFPbuZsxFak9wYFXEHiEC7Z7OANHuZwAAAIAdyRQO4ydMOy78tbQWZNk56vWV02e9IRlXUhfW116hOiqXi6tWBEbjNp6hmxiz1MHCoWHMqF2LT+AO03lXK9sSHkEnZoTFbIpxbq+rX0ThBchbbtW7SepXg4j7R7+i5SI4qWAkdOCqRUFBUYW8gNZak+gCkCNS67q6YwZy93/iRQ==";
    const CERTIFIED: &str = "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAICTsNflLQgrwF9FM32oY74OuDoYUGFYTkra5NzcjZxdDAAAAIMvLlQXqXlIV8dhEIqgeZJyZq/njKSTBzZE7C7rMBF2wAAAAAAAAAAAAAAABAAAAAXgAAAAAAAAAAAAAAAD//////////wAAAAAAAACCAAAAFXBlcm1pdC1YMTEtZm9yd2FyZGluZwAAAAAAAAAXcGVybWl0LWFnZW50LWZvcndhcmRpbmcAAAAAAAAAFnBlcm1pdC1wb3J0LWZvcndhcmRpbmcAAAAAAAAACnBlcm1pdC1wdHkAAAAAAAAADnBlcm1pdC11c2VyLXJjAAAAAAAAAAAAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIL9V0MLqkDacfRLksdZqjb68d5ns5zeBH05ruPgIXjK/AAAAUwAAAAtzc2gtZWQyNTUxOQAAAECzzPnx9VIzgJcbupe5T2A0t/R2pdh+vtsX9zgqmVdgVaI2eFLekynt0FUfszHgSrE3RhLPQc2oc9vMAT+LEbsA";

    #[test]
    fn a_pub_file_is_accepted_with_its_newline() {
        assert_eq!(format!("{GOOD}\n").parse::<PublicKey>().unwrap().as_str(), GOOD);
    }

    #[test]
    fn a_fingerprint_is_that_of_ssh_keygen_whatever_the_comment() {
        let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG/3j+Ty/cVRSnMedzAQw5IgHTN08zustA8Z7vejqkUw";
        for comment in ["", " somebody", " somebody else"] {
            let key: PublicKey = format!("{line}{comment}").parse().unwrap();
            assert_eq!(
                key.fingerprint(),
                "SHA256:NCeRYfpm4bYWdLTuMh87b9n0jraYiZFCvew08n4GatY"
            );
        }
        let other: PublicKey = GOOD.parse().unwrap();
        assert_ne!(
            other.fingerprint(),
            line.parse::<PublicKey>().unwrap().fingerprint()
        );
    }

    #[test]
    fn what_is_no_key_says_why() {
        assert_eq!("".parse::<PublicKey>(), Err(KeyError::Form));
        assert_eq!("ssh-ed25519".parse::<PublicKey>(), Err(KeyError::Form));
        assert_eq!("ssh-ed25519 AAAA".parse::<PublicKey>(), Err(KeyError::Form));
        assert_eq!(
            GOOD.replace("ssh-ed25519 ", "ssh-rsa ").parse::<PublicKey>(),
            Err(KeyError::Form)
        );
        assert_eq!(
            format!("{GOOD}\n{GOOD}").parse::<PublicKey>(),
            Err(KeyError::Form)
        );
        assert_eq!(
            "-----BEGIN OPENSSH PRIVATE KEY-----".parse::<PublicKey>(),
            Err(KeyError::Private)
        );
    }

    #[test]
    fn what_is_too_weak_or_no_key_alone_has_a_sentence_of_its_own() {
        let refused = |line: &str| line.parse::<PublicKey>().unwrap_err();
        assert_eq!(refused(DSA_KEY), KeyError::Dsa);
        assert_eq!(refused(RSA_1024), KeyError::ShortRsa(1024));
        assert_eq!(refused(RSA_2047), KeyError::ShortRsa(2047));
        assert!(RSA_2048.parse::<PublicKey>().is_ok());
        assert!(ECDSA.parse::<PublicKey>().is_ok());
        assert_eq!(refused(CERTIFIED), KeyError::Certificate);
        let other = line("ssh-xmss", &[b"xxxx"]);
        assert_eq!(refused(&other), KeyError::Type("ssh-xmss".into()));
    }

    #[test]
    fn options_are_refused_by_name() {
        for (line, option) in [
            (format!("no-pty {GOOD}"), "no-pty"),
            (format!("command=\"/bin/echo hello\",no-pty {GOOD}"), "command"),
            (format!("from=\"10.0.0.0/8\"\t{RSA_2048}"), "from"),
        ] {
            assert_eq!(line.parse::<PublicKey>(), Err(KeyError::Option(option.into())));
        }
        // A comment may say anything.
        assert!(format!("{GOOD} ssh-rsa").parse::<PublicKey>().is_ok());
    }

    #[test]
    fn the_blob_of_an_rsa_key_ends_where_it_says() {
        let whole = BASE64
            .decode(RSA_2048.split(' ').nth(1).unwrap().as_bytes())
            .unwrap();
        for bad in [[&whole[..], b"\0"].concat(), whole[..whole.len() - 1].to_vec()] {
            let line = format!("ssh-rsa {}", BASE64.encode(&bad));
            assert_eq!(line.parse::<PublicKey>(), Err(KeyError::Form));
        }
    }

    /// A line of a type, with these strings behind it.
    fn line(kind: &str, strings: &[&[u8]]) -> String {
        let mut blob = Vec::new();
        for string in [kind.as_bytes()].iter().chain(strings) {
            blob.extend(u32::try_from(string.len()).unwrap().to_be_bytes());
            blob.extend(*string);
        }
        format!("{kind} {}", BASE64.encode(&blob))
    }

    #[test]
    fn a_blob_holds_what_its_type_says_and_no_more() {
        let point = |length: usize| [&[4][..], &vec![1; length - 1]].concat();
        let (short, middle, long) = (point(65), point(97), point(133));
        let good: [(&str, &[&[u8]]); 6] = [
            (ED25519, &[&[1; 32]]),
            (ECDSA_256, &[b"nistp256", &short]),
            (ECDSA_384, &[b"nistp384", &middle]),
            (ECDSA_521, &[b"nistp521", &long]),
            (SECURITY_ED25519, &[&[1; 32], b"ssh:"]),
            (SECURITY_ECDSA, &[b"nistp256", &short, b"ssh:"]),
        ];
        for (kind, strings) in good {
            assert!(line(kind, strings).parse::<PublicKey>().is_ok(), "{kind}");
            let more = [strings, &[b"more"]].concat();
            assert_eq!(
                line(kind, &more).parse::<PublicKey>(),
                Err(KeyError::Form),
                "{kind}"
            );
            for index in 0..strings.len() {
                let mut other = strings.to_vec();
                let longer = [strings[index], &[0; 300]].concat();
                other[index] = &longer;
                assert_eq!(
                    line(kind, &other).parse::<PublicKey>(),
                    Err(KeyError::Form),
                    "{kind} {index}"
                );
                other[index] = &strings[index][1..];
                let shorter = line(kind, &other).parse::<PublicKey>();
                assert!(shorter.is_err() || strings[index] == b"ssh:", "{kind} {index}");
            }
        }
    }

    #[test]
    fn what_is_longer_than_any_key_is_refused_by_name() {
        let spaces = " ".repeat(LONGEST_LINE);
        let long = format!("{GOOD}{spaces}x");
        assert_eq!(long.parse::<PublicKey>(), Err(KeyError::Long(long.len())));
        let commented = |characters| format!("{} {}", line(ED25519, &[&[1; 32]]), "ä".repeat(characters));
        assert!(commented(LONGEST_COMMENT).parse::<PublicKey>().is_ok());
        let refused = commented(LONGEST_COMMENT + 1).parse::<PublicKey>();
        assert_eq!(refused, Err(KeyError::Comment(LONGEST_COMMENT + 1)));
        let rsa = |bytes| line(RSA, &[&[1, 0, 1], &vec![0xff; bytes]]).parse::<PublicKey>();
        assert!(rsa(LONGEST_RSA / 8).is_ok());
        assert_eq!(rsa(LONGEST_RSA / 8 + 1), Err(KeyError::LongRsa(LONGEST_RSA + 8)));
        // Spaces between the words are not kept, so they cannot make a line longer.
        let wide: PublicKey = GOOD.replace(' ', "  \t ").parse().unwrap();
        assert_eq!(wide.as_str(), GOOD);
    }

    #[test]
    fn a_key_that_was_kept_stays_readable() {
        assert!(PublicKey::try_from(RSA_1024.to_owned()).is_ok());
        assert_eq!(PublicKey::try_from(String::new()), Err(KeyError::Form));
    }

    #[test]
    fn a_line_is_taken_apart() {
        let key: PublicKey = format!("{GOOD} of  the house").parse().unwrap();
        assert_eq!(
            (key.kind(), key.comment()),
            ("ssh-ed25519", "somebody of  the house")
        );
        assert_eq!(ECDSA.parse::<PublicKey>().unwrap().comment(), "");
    }
}
