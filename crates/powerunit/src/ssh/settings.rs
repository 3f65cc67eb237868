//! A configuration, turned once into what a connection needs.

use std::borrow::Cow;
use std::time::Duration;

use russh::keys::ssh_key::Fingerprint;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate, HashAlg, PrivateKey, PublicKey, ssh_key};
use russh::{MethodKind, MethodSet, Preferred, server};
use wire::guest::{Config, ImageDefaults, Ready};

use super::accounts;
use super::auth::certificate::{self, Bearer, Refusal};
use super::auth::{Grant, strength};

/// A host key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the host key of the configuration is not an OpenSSH private key")]
pub(super) struct HostKeyError(#[source] ssh_key::Error);

/// What holds for connections that begin now.
#[derive(Debug)]
pub(super) struct Settings {
    revision: u64,
    port: u16,
    host_keys: Vec<String>,
    authorized: Vec<KeyData>,
    authorities: Vec<KeyData>,
    barred: Vec<Fingerprint>,
    /// How often the host wants to hear how the machine is used.
    pub(super) usage_every: Option<Duration>,
    /// Whether `authorized_keys` files of the image count too.
    pub(super) image_keys: bool,
    pub(super) image: ImageDefaults,
    host_key: PrivateKey,
}

impl Settings {
    pub(super) fn new(config: Config) -> Result<Self, HostKeyError> {
        let host_key = PrivateKey::from_openssh(config.ssh.host_key.as_pem()).map_err(HostKeyError)?;
        // Without the comment, which is nobody's business but whoever made the key.
        let public = PublicKey::from(host_key.public_key().key_data().clone());
        let line = public.to_openssh().map_err(HostKeyError)?;
        Ok(Self {
            revision: config.revision,
            port: config.ssh.port,
            host_keys: vec![line],
            authorized: keys("authorised key", &config.ssh.authorized_keys),
            authorities: keys("certificate authority", &config.ssh.user_cas),
            barred: fingerprints(&config.ssh.barred),
            usage_every: config.usage_every,
            image_keys: config.ssh.image_keys,
            image: config.image,
            host_key,
        })
    }

    /// What PID 1 tells the host.
    pub(super) fn ready(&self) -> Ready {
        let login = accounts::Database::read().default_account(&self.image.user).name;
        Ready {
            config_revision: self.revision,
            ssh_port: self.port,
            login,
            host_keys: self.host_keys.clone(),
        }
    }

    /// Whether this key opens the VM by the configuration.
    pub(super) fn authorizes(&self, key: &KeyData) -> bool {
        self.authorized.contains(key)
    }

    /// Whether this key opens nothing, whatever else says that it does.
    pub(super) fn bars(&self, key: &KeyData) -> bool {
        !self.barred.is_empty() && self.barred.contains(&key.fingerprint(HashAlg::Sha256))
    }

    /// Whether certificates may open it.
    pub(super) fn has_authorities(&self) -> bool {
        !self.authorities.is_empty()
    }

    /// What a certificate gives its bearer.
    pub(super) fn judge(&self, certificate: &Certificate, bearer: Bearer<'_>) -> Result<Grant, Refusal> {
        certificate::judge(certificate, &self.authorities, bearer)
    }

    /// How the library is to speak on one connection, on which a refusal takes at least so long, and whose client is
    /// asked for a sign of life after so long a silence.
    pub(super) fn protocol(&self, refusal: Duration, keepalive: Duration) -> server::Config {
        server::Config {
            server_id: russh::SshId::Standard(Cow::Borrowed(concat!(
                "SSH-2.0-powerunit_",
                env!("CARGO_PKG_VERSION")
            ))),
            methods: MethodSet::from(&[MethodKind::PublicKey][..]),
            keys: vec![self.host_key.clone()],
            // For what the library refuses without asking us, such as a wrong signature.
            auth_rejection_time: refusal,
            // A client asks first without a key, to learn the methods; making it wait would make everybody wait.
            auth_rejection_time_initial: Some(Duration::ZERO),
            // An idle session is somebody's open editor.
            inactivity_timeout: None,
            keepalive_interval: Some(keepalive),
            keepalive_max: 3,
            preferred: Preferred {
                key: Cow::Owned(signatures()),
                ..Preferred::DEFAULT
            },
            // Enough to keep a gigabit busy over a few milliseconds; it is also what one session may hold in memory.
            window_size: 1 << 20,
            channel_buffer_size: 16,
            nodelay: true,
            ..server::Config::default()
        }
    }
}

/// Those that can be read and are strong enough; the others are told on the console.
fn keys(what: &str, lines: &[String]) -> Vec<KeyData> {
    let mut keys = Vec::new();
    for line in lines {
        match PublicKey::from_openssh(line) {
            Ok(key) if strength::suffices(key.key_data()) => keys.push(key.key_data().clone()),
            Ok(_) => super::complain(&format!("one {what} is passed over: it is too weak")),
            Err(error) => super::complain(&format!("one {what} is passed over: {error}")),
        }
    }
    keys
}

/// Those that can be read; the others are told on the console.
fn fingerprints(texts: &[String]) -> Vec<Fingerprint> {
    let read = texts.iter().filter_map(|text| {
        let fingerprint = text.parse();
        if fingerprint.is_err() {
            super::complain(&format!("{text:?} is no fingerprint, so it bars no key"));
        }
        fingerprint.ok()
    });
    read.collect()
}

/// Everything but RSA with SHA-1.
fn signatures() -> Vec<Algorithm> {
    Preferred::DEFAULT
        .key
        .iter()
        .filter(|name| **name != Algorithm::Rsa { hash: None })
        .cloned()
        .collect()
}
