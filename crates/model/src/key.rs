//! SSH public keys as OpenSSH writes them on one line: `TYPE BASE64 [COMMENT]`.
//!
//! The blob is a sequence of strings, each behind its length (RFC 4251 section 5), and begins with its own type
//! (RFC 4253 section 6.6). It is taken apart far enough to know its type and strength; the guest's SSH server does
//! the cryptography.
//!
//! What people give is read by [`FromStr`], which refuses what no guest would accept. What was kept is read by serde,
//! which asks for the form alone: a key that an earlier version let in must not make a VM unreadable.

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

/// Bits of the shortest RSA modulus (NIST SP 800-131A).
const SHORTEST_RSA: usize = 2048;

const RSA: &str = "ssh-rsa";
const DSA: &str = "ssh-dss";
/// How the types of all certificates end (OpenSSH, PROTOCOL.certkeys).
const CERTIFICATE: &str = "-cert-v01@openssh.com";

const ACCEPTED: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    RSA,
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
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
        let (kind, blob) = frame(line)?;
        match kind {
            RSA => is_long(&blob)?,
            DSA => return Err(KeyError::Dsa),
            kind if kind.ends_with(CERTIFICATE) => return Err(KeyError::Certificate),
            kind if !ACCEPTED.contains(&kind) => return Err(KeyError::Type(kind.to_owned())),
            _ => {}
        }
        Ok(Self::of(line, &blob))
    }
}

impl PublicKey {
    fn of(line: &str, blob: &[u8]) -> Self {
        Self {
            line: line.to_owned(),
            digest: Sha256::digest(blob).into(),
        }
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

/// Refuses an RSA key whose modulus is short: the third string of three, a number in two's complement (RFC 4251
/// section 5, `mpint`).
fn is_long(blob: &[u8]) -> Result<(), KeyError> {
    let mut strings = Strings(blob);
    let (Some(modulus), true) = (strings.nth(2), strings.0.is_empty()) else {
        return Err(KeyError::Form);
    };
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let significant = modulus.get(zeros..).unwrap_or_default();
    let unused = significant.first().map_or(0, |byte| byte.leading_zeros());
    let bits = (significant.len() * 8).saturating_sub(usize::try_from(unused).unwrap_or_default());
    if bits < SHORTEST_RSA {
        return Err(KeyError::ShortRsa(bits));
    }
    Ok(())
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
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0yNTYgYml0cyBvZiBub3RoaW5nIGF0IGFsbCEh somebody";

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
        let other = format!("ssh-xmss {}", BASE64.encode(b"\0\0\0\x08ssh-xmssxxxx"));
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
