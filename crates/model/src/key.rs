//! SSH public keys as OpenSSH writes them on one line.
//!
//! Only the frame is looked at here (RFC 4253 section 6.6: the blob begins with its own type); the guest's SSH
//! server does the cryptography.

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

const ACCEPTED: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
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
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let line = text.trim();
        if line.contains("PRIVATE KEY") {
            return Err(KeyError::Private);
        }
        if line.contains(['\n', '\r', '\0']) {
            return Err(KeyError::Form);
        }
        let mut words = line.split_ascii_whitespace();
        let (Some(kind), Some(blob)) = (words.next(), words.next()) else {
            return Err(KeyError::Form);
        };
        let blob = BASE64.decode(blob.as_bytes()).map_err(|_| KeyError::Form)?;
        let (length, rest) = blob.split_first_chunk::<4>().ok_or(KeyError::Form)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| KeyError::Form)?;
        if rest.get(..length) != Some(kind.as_bytes()) || rest.len() <= length {
            return Err(KeyError::Form);
        }
        if !ACCEPTED.contains(&kind) {
            return Err(KeyError::Type(kind.to_owned()));
        }
        Ok(Self {
            line: line.to_owned(),
            digest: Sha256::digest(&blob).into(),
        })
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
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
        let dss = format!("ssh-dss {}", BASE64.encode(b"\0\0\0\x07ssh-dssxxxx"));
        assert_eq!(dss.parse::<PublicKey>(), Err(KeyError::Type("ssh-dss".into())));
    }
}
