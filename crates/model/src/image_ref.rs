//! References to container images: `registry/name:tag`, `registry/name@sha256:…`, `oci:DIRECTORY[:tag]`.
//!
//! The short forms people know from Docker mean what they mean there: `debian` is
//! `docker.io/library/debian:latest`. The grammar is that of the distribution specification's reference
//! (OCI distribution-spec v1.1, "Pulling manifests").

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Text that names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageRefError {
    /// Neither a registry reference nor a layout.
    #[error(
        "{0:?} is not an image reference: write NAME[:TAG], REGISTRY/NAME[:TAG], NAME@sha256:DIGEST or oci:DIRECTORY[:TAG]"
    )]
    Form(String),
    /// A layout given by a relative path; only the caller knows its directory.
    #[error("oci:{0} is a relative path; the host needs the whole path of the layout")]
    RelativeLayout(String),
    /// Something that is not `sha256:` and 64 lower-case hexadecimal digits.
    #[error("{0:?} is not a digest: write sha256: and 64 lower-case hexadecimal digits")]
    Digest(String),
}

/// A SHA-256 digest as OCI writes it (image-spec v1.1, "Digests").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// From the 32 bytes of a hash.
    pub const fn from_sha256(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 64 hexadecimal digits, without the algorithm.
    pub fn hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        text.strip_prefix("sha256:")
            .and_then(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).ok())
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| ImageRefError::Digest(text.to_owned()))
    }
}

impl TryFrom<String> for Digest {
    type Error = ImageRefError;

    fn try_from(text: String) -> Result<Self, ImageRefError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which manifest of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selector {
    /// By a name that may move.
    Tag(String),
    /// By content.
    Digest(Digest),
}

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RegistryRef {
    /// Host and, where given, port: `docker.io`, `127.0.0.1:5000`.
    pub registry: String,
    /// The repository below it, such as `library/debian`.
    pub repository: String,
    /// Tag or digest.
    pub selector: Selector,
}

/// An image in an OCI layout directory of the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OciLayout {
    /// Absolute path of the layout.
    pub directory: PathBuf,
    /// The `org.opencontainers.image.ref.name` to take; without one the layout must hold one image only.
    pub tag: Option<String>,
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ImageRef {
    /// A registry.
    Registry(RegistryRef),
    /// A directory of the host.
    Layout(OciLayout),
}

impl ImageRef {
    /// Whether both are in the same repository of the same registry, whatever tag or digest they name.
    pub fn is_of_the_repository_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Registry(one), Self::Registry(other)) => {
                (&one.registry, &one.repository) == (&other.registry, &other.repository)
            }
            (Self::Registry(_) | Self::Layout(_), Self::Layout(_)) | (Self::Layout(_), Self::Registry(_)) => {
                false
            }
        }
    }
}

impl FromStr for ImageRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        match text.strip_prefix("oci:") {
            Some(layout) => parse_layout(layout).map(Self::Layout),
            None => parse_registry(text).map(Self::Registry),
        }
    }
}

fn parse_layout(text: &str) -> Result<OciLayout, ImageRefError> {
    let (directory, tag) = match text.rsplit_once(':') {
        Some((directory, tag)) if !tag.contains('/') => (directory, Some(tag)),
        _ => (text, None),
    };
    if !Path::new(directory).is_absolute() {
        return Err(ImageRefError::RelativeLayout(text.to_owned()));
    }
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err(ImageRefError::Form(format!("oci:{text}")));
    }
    Ok(OciLayout {
        directory: PathBuf::from(directory),
        tag: tag.map(str::to_owned),
    })
}

fn parse_registry(text: &str) -> Result<RegistryRef, ImageRefError> {
    let form = || ImageRefError::Form(text.to_owned());
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest.parse::<Digest>()?)),
        None => (text, None),
    };
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    };
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
        Some(_) => ("docker.io", name.to_owned()),
        None => ("docker.io", format!("library/{name}")),
    };
    let repository_is_well_formed = repository.len() <= 255 && repository.split('/').all(is_path_component);
    if !is_registry(registry) || !repository_is_well_formed || tag.is_some_and(|tag| !is_tag(tag)) {
        return Err(form());
    }
    let selector = match (digest, tag) {
        (Some(digest), _) => Selector::Digest(digest),
        (None, Some(tag)) => Selector::Tag(tag.to_owned()),
        (None, None) => Selector::Tag("latest".to_owned()),
    };
    Ok(RegistryRef {
        registry: registry.to_owned(),
        repository,
        selector,
    })
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let labels = host
        .split('.')
        .all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    labels && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_path_component(text: &str) -> bool {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().copied().is_some_and(edge)
        && bytes.last().copied().is_some_and(edge)
        && bytes.iter().all(|&b| edge(b) || matches!(b, b'.' | b'_' | b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = text.as_bytes();
    (1..=128).contains(&bytes.len())
        && bytes.first().copied().is_some_and(word)
        && bytes.iter().all(|&b| word(b) || matches!(b, b'.' | b'-'))
}

impl TryFrom<String> for ImageRef {
    type Error = ImageRefError;

    fn try_from(text: String) -> Result<Self, ImageRefError> {
        text.parse()
    }
}

impl From<ImageRef> for String {
    fn from(reference: ImageRef) -> String {
        reference.to_string()
    }
}

impl fmt::Display for ImageRef {
    /// The full form, whichever short form was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(RegistryRef {
                registry,
                repository,
                selector,
            }) => match selector {
                Selector::Tag(tag) => write!(f, "{registry}/{repository}:{tag}"),
                Selector::Digest(digest) => write!(f, "{registry}/{repository}@{digest}"),
            },
            Self::Layout(OciLayout {
                directory,
                tag: Some(tag),
            }) => write!(f, "oci:{}:{tag}", directory.display()),
            Self::Layout(OciLayout { directory, tag: None }) => write!(f, "oci:{}", directory.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        text.parse::<ImageRef>().unwrap().to_string()
    }

    #[test]
    fn short_forms_mean_what_they_mean_elsewhere() {
        assert_eq!(full("debian"), "docker.io/library/debian:latest");
        assert_eq!(full("debian:12"), "docker.io/library/debian:12");
        assert_eq!(full("grafana/grafana"), "docker.io/grafana/grafana:latest");
        assert_eq!(full("127.0.0.1:5000/a/b:c"), "127.0.0.1:5000/a/b:c");
        assert_eq!(full("localhost/x"), "localhost/x:latest");
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(
            full(&format!("ghcr.io/a/b:v1@{digest}")),
            format!("ghcr.io/a/b@{digest}")
        );
    }

    #[test]
    fn layouts_are_whole_paths() {
        assert_eq!(full("oci:/var/x"), "oci:/var/x");
        assert_eq!(full("oci:/var/x:v1"), "oci:/var/x:v1");
        assert_eq!(
            "oci:x".parse::<ImageRef>(),
            Err(ImageRefError::RelativeLayout("x".into()))
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "",
            "UPPER",
            "a//b",
            "a b",
            "a:",
            "a@sha256:00",
            "a@md5:00",
            "-a",
            "reg.io:99999/a",
            "a/../b",
            "oci:/x:a b",
        ] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_repository_is_a_registry_and_a_name() {
        let image = |text: &str| text.parse::<ImageRef>().unwrap();
        let one = image("registry.example/team/app:1");
        for (other, same) in [
            ("registry.example/team/app:2", true),
            ("registry.example/team/other:1", false),
            ("evil.example/team/app:1", false),
            ("registry.example:5000/team/app:1", false),
            ("oci:/team/app", false),
        ] {
            assert_eq!(image(other).is_of_the_repository_of(&one), same, "{other}");
        }
        assert!(!image("oci:/a").is_of_the_repository_of(&image("oci:/a")));
    }
}
