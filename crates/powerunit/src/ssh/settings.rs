//! A configuration, turned once into what a connection needs.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, PrivateKey, PublicKey, ssh_key};
use russh::{MethodKind, MethodSet, Preferred, server};
use wire::guest::{Config, ImageDefaults, Ready};

use super::accounts;

/// A host key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the host key of the configuration is not an OpenSSH private key")]
pub(super) struct HostKeyError(#[source] ssh_key::Error);

/// Dead clients are noticed after four of these, and NATs on the way keep their state.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// What holds for connections that begin now.
#[derive(Debug)]
pub(super) struct Settings {
    revision: u64,
    port: u16,
    host_keys: Vec<String>,
    authorized: Vec<KeyData>,
    pub(super) image: ImageDefaults,
    pub(super) protocol: Arc<server::Config>,
}

impl Settings {
    pub(super) fn new(config: Config) -> Result<Self, HostKeyError> {
        let host_key = PrivateKey::from_openssh(config.ssh.host_key.as_pem()).map_err(HostKeyError)?;
        // Without the comment, which is nobody's business but whoever made the key.
        let public = PublicKey::from(host_key.public_key().key_data().clone());
        let line = public.to_openssh().map_err(HostKeyError)?;
        let mut authorized = Vec::new();
        for line in &config.ssh.authorized_keys {
            match PublicKey::from_openssh(line) {
                Ok(key) => authorized.push(key.key_data().clone()),
                Err(error) => super::complain(&format!("an authorised key is passed over: {error}")),
            }
        }
        Ok(Self {
            revision: config.revision,
            port: config.ssh.port,
            host_keys: vec![line],
            authorized,
            image: config.image,
            protocol: Arc::new(protocol(host_key)),
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

    /// Whether whoever holds this key may come in.
    pub(super) fn admits(&self, key: &PublicKey) -> bool {
        self.authorized.contains(key.key_data())
    }
}

fn protocol(host_key: PrivateKey) -> server::Config {
    server::Config {
        server_id: russh::SshId::Standard(Cow::Borrowed(concat!(
            "SSH-2.0-powerunit_",
            env!("CARGO_PKG_VERSION")
        ))),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        keys: vec![host_key],
        // A client asks first without a key, to learn the methods; making it wait would make everybody wait.
        auth_rejection_time: Duration::from_millis(500),
        auth_rejection_time_initial: Some(Duration::ZERO),
        // An idle session is somebody's open editor.
        inactivity_timeout: None,
        keepalive_interval: Some(KEEPALIVE),
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

/// Everything but RSA with SHA-1.
fn signatures() -> Vec<Algorithm> {
    Preferred::DEFAULT
        .key
        .iter()
        .filter(|name| **name != Algorithm::Rsa { hash: None })
        .cloned()
        .collect()
}
