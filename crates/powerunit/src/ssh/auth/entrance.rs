//! One connection on its way in: what it tries, how it is answered, and its place in the lobby.

use std::net::IpAddr;

use russh::keys::Certificate;
use russh::server::{Auth, PublicKeyOffer, VerifiedPublicKey};
use tokio::time::sleep;

use super::{Attempts, Authority, Claim, Grant};
use crate::ssh::lobby::Place;

/// Until it is dropped or has succeeded.
#[derive(Debug)]
pub(in crate::ssh) struct Entrance {
    authority: Authority,
    address: IpAddr,
    attempts: Attempts,
    /// `None` once the client is known.
    place: Option<Place>,
}

impl Entrance {
    pub(in crate::ssh) fn new(authority: Authority, address: IpAddr, place: Place) -> Self {
        Self {
            attempts: authority.attempts(address),
            authority,
            address,
            place: Some(place),
        }
    }

    /// The shortest time that a refusal takes here.
    pub(in crate::ssh) fn delay(&self) -> std::time::Duration {
        self.attempts.delay()
    }

    /// The client has asked what it may try.
    pub(in crate::ssh) fn begin(&mut self) {
        self.attempts.begin();
    }

    /// Answers whether it is worth signing with this key.
    pub(in crate::ssh) async fn offered(&mut self, login: &str, offer: PublicKeyOffer<'_>) -> Auth {
        let claim = self.claim(login);
        let key = offer.public_key.key_data();
        if self.authority.may_try(claim, key, offer.algorithm).await {
            return Auth::Accept;
        }
        self.refuse().await
    }

    /// What a key that has signed gives.
    pub(in crate::ssh) async fn key(&self, login: &str, key: VerifiedPublicKey<'_>) -> Option<Grant> {
        let claim = self.claim(login);
        self.authority.by_key(claim, key.public_key.key_data()).await
    }

    /// What a certificate gives whose key has signed.
    pub(in crate::ssh) fn certificate(&self, login: &str, certificate: &Certificate) -> Option<Grant> {
        self.authority.by_certificate(self.claim(login), certificate)
    }

    /// Says no, the later the more often it was said.
    pub(in crate::ssh) async fn refuse(&mut self) -> Auth {
        let delay = self.attempts.fail();
        if let Some(place) = &self.place {
            tokio::select! {
                () = sleep(delay) => {}
                () = place.was_cut() => {}
            }
        }
        Auth::reject()
    }

    /// The client is known, and leaves the lobby.
    pub(in crate::ssh) fn succeed(&mut self) {
        self.attempts.succeed();
        self.place = None;
    }

    fn claim<'a>(&self, login: &'a str) -> Claim<'a> {
        Claim {
            login,
            address: self.address,
        }
    }
}
