//! Who gets in, and what with.
//!
//! ```text
//!   a key is offered ──► known or perhaps certified? ──no──► delay, refused
//!                            │ yes: "sign with it"
//!                            ▼
//!   it has signed ─────► key: configuration, then ~/.ssh/authorized_keys ─┐
//!                        certificate: an authority of the configuration ──┴─► Grant, or delay, refused
//! ```
//!
//! Always holds:
//!
//! - Only a verified signature makes a [`Grant`]. That a key was offered and not refused gives nothing: the library
//!   does not tell the bare key of a certificate from a key, so with an authority set every strong one may try.
//! - Each question is answered with the newest configuration, so a key that was taken away opens nothing any more.
//! - A barred key opens nothing, whatever else names it, and what it has opened ends.
//! - A good key is never delayed, whatever others do; see [`delay`].

mod authorized_keys;
pub(super) mod certificate;
mod delay;
mod entrance;
mod grant;
mod home;
mod sources;
pub(super) mod strength;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate};
use tokio::sync::watch;

use super::accounts::{Account, Database};
use super::presence::Presence;
use super::settings::Settings;
use certificate::Bearer;
use delay::{Attempts, Failures};

pub(super) use entrance::Entrance;
pub(super) use grant::Grant;
pub(super) use home::Image;

/// What all connections share.
#[derive(Debug, Clone)]
pub(super) struct Authority {
    current: watch::Receiver<Option<Arc<Settings>>>,
    image: Option<Arc<Image>>,
    failures: Arc<Mutex<Failures>>,
    pub(super) presence: Arc<Presence>,
}

/// The keys that a known client came in by: its own, and the authority's behind a certificate.
pub(super) type Keys = Vec<KeyData>;

/// Who somebody says to be, and from where.
#[derive(Debug, Clone, Copy)]
struct Claim<'a> {
    login: &'a str,
    address: IpAddr,
}

impl Authority {
    /// Without a look at the image, no `authorized_keys` file can be told from one of the image.
    pub(super) fn new(current: watch::Receiver<Option<Arc<Settings>>>, image: Option<Image>) -> Self {
        Self {
            current,
            image: image.map(Arc::new),
            failures: Arc::default(),
            presence: Arc::default(),
        }
    }

    /// Ends when a key that a client came in by is barred; never for one that is not known.
    pub(super) async fn until_barred(&self, mut known: watch::Receiver<Keys>) {
        let mut current = self.current.clone();
        loop {
            let settings = current.borrow_and_update().clone();
            let is_barred = |settings: Arc<Settings>| known.borrow().iter().any(|key| settings.bars(key));
            if settings.is_some_and(is_barred) {
                return;
            }
            let gone = tokio::select! {
                changed = current.changed() => changed.is_err(),
                changed = known.changed() => changed.is_err(),
            };
            if gone {
                return std::future::pending().await;
            }
        }
    }

    pub(super) fn settings(&self) -> Option<Arc<Settings>> {
        self.current.borrow().clone()
    }

    /// Begins to count what a connection tries.
    fn attempts(&self, address: IpAddr) -> Attempts {
        Attempts::new(Arc::clone(&self.failures), address)
    }

    /// Whether it is worth signing with this key.
    async fn may_try(&self, claim: Claim<'_>, key: &KeyData, algorithm: &Algorithm) -> bool {
        let sha1 = Algorithm::Rsa { hash: None };
        if *algorithm == sha1 || !strength::suffices(key) {
            return false;
        }
        let certified = self.settings().is_some_and(|settings| settings.has_authorities());
        certified || self.by_key(claim, key).await.is_some()
    }

    /// What a key that has signed gives.
    async fn by_key(&self, claim: Claim<'_>, key: &KeyData) -> Option<Grant> {
        let settings = self.settings()?;
        if settings.bars(key) {
            return None;
        }
        if settings.authorizes(key) {
            return Some(Grant::EVERYTHING);
        }
        let account = account(claim.login, &settings);
        let lines = home::lines(&account, self.image.as_deref(), settings.image_keys).await;
        authorized_keys::grant(&lines, key, claim.address)
    }

    /// What a certificate whose key has signed gives.
    fn by_certificate(&self, claim: Claim<'_>, certificate: &Certificate) -> Option<Grant> {
        let settings = self.settings()?;
        if keys_of(certificate).iter().any(|key| settings.bars(key)) {
            return None;
        }
        let account = account(claim.login, &settings);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let bearer = Bearer {
            login: claim.login,
            account: &account.name,
            address: claim.address,
            now: now.as_secs(),
        };
        match settings.judge(certificate, bearer) {
            Ok(grant) => Some(grant),
            // Anybody can make such a one; its lines would push everything else off the console.
            Err(certificate::Refusal::UnknownAuthority) => None,
            Err(refusal) => {
                super::complain(&format!(
                    "the certificate {:?} opens nothing: {refusal}",
                    certificate.key_id()
                ));
                None
            }
        }
    }
}

/// The keys behind a certificate.
pub(super) fn keys_of(certificate: &Certificate) -> Keys {
    vec![
        certificate.public_key().clone(),
        certificate.signature_key().clone(),
    ]
}

fn account(login: &str, settings: &Settings) -> Account {
    Database::read().login(login, &settings.image.user)
}
