//! What a client may learn and do before it has signed: with the library's own client, which can stop half-way.

use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, AuthResult};
use russh::keys::agent::AgentIdentity;
use russh::keys::{HashAlg, PrivateKey, PublicKey, PublicKeyOrCertificate};
use tokio::time::timeout;

use crate::server::Server;
use crate::support::ssh::KeyPair;

struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

/// Is asked once the server has said that a key is worth signing with.
struct Signer {
    with: Option<PrivateKey>,
    asked: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("no signature")]
struct NoSignature;

impl From<russh::SendError> for NoSignature {
    fn from(_: russh::SendError) -> Self {
        Self
    }
}

impl russh::Signer for Signer {
    type Error = NoSignature;

    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        _hash: Option<HashAlg>,
        to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, Self::Error> {
        self.asked = true;
        let key = self.with.as_ref().ok_or(NoSignature)?;
        let signature: russh::keys::ssh_key::Signature =
            russh::keys::signature::Signer::try_sign(key, &to_sign).map_err(|_| NoSignature)?;
        let blob = Vec::<u8>::try_from(signature).map_err(|_| NoSignature)?;
        let length = u32::try_from(blob.len()).map_err(|_| NoSignature)?.to_be_bytes();
        Ok([to_sign.as_slice(), &length, &blob].concat())
    }
}

async fn connect(server: &Server) -> client::Handle<Trusting> {
    let config = Arc::new(client::Config::default());
    client::connect(config, ("127.0.0.1", server.port), Trusting)
        .await
        .unwrap()
}

async fn opens_a_session(client: &client::Handle<Trusting>) -> bool {
    let opening = timeout(Duration::from_secs(2), client.channel_open_session()).await;
    matches!(opening, Ok(Ok(_)))
}

fn public(key: &KeyPair) -> PublicKey {
    PublicKey::from_openssh(&key.public()).unwrap()
}

#[tokio::test]
async fn a_key_that_was_only_offered_is_no_login() {
    let Some(mut server) = Server::start() else { return };
    let authority = KeyPair::generate(server.folder.path(), "authority");
    let stranger = KeyPair::generate(server.folder.path(), "stranger");
    let keys = vec![server.key.public()];
    // With an authority every key may try, a stranger's too.
    server.configure_ssh(2, |ssh| {
        ssh.authorized_keys = keys;
        ssh.user_cas = vec![authority.public()];
    });
    for key in [&server.key, &stranger] {
        let mut client = connect(&server).await;
        let mut signer = Signer {
            with: None,
            asked: false,
        };
        let done = client
            .authenticate_publickey_with("fred", public(key), None, &mut signer)
            .await;
        assert!(done.is_err() && signer.asked, "{done:?}");
        assert!(!opens_a_session(&client).await);
    }
}

#[tokio::test]
async fn anothers_signature_and_a_strangers_own_are_no_login() {
    let Some(mut server) = Server::start() else { return };
    let authority = KeyPair::generate(server.folder.path(), "authority");
    let stranger = KeyPair::generate(server.folder.path(), "stranger");
    let keys = vec![server.key.public()];
    server.configure_ssh(2, |ssh| {
        ssh.authorized_keys = keys;
        ssh.user_cas = vec![authority.public()];
    });
    let cases = [
        (&server.key, &stranger, false),
        (&stranger, &stranger, false),
        (&authority, &authority, false),
        (&server.key, &server.key, true),
    ];
    for (shown, signing, expected) in cases {
        let mut client = connect(&server).await;
        let mut signer = Signer {
            with: Some(PrivateKey::from_openssh(signing.private()).unwrap()),
            asked: false,
        };
        let done = client
            .authenticate_publickey_with("fred", public(shown), None, &mut signer)
            .await
            .unwrap();
        assert_eq!(matches!(done, AuthResult::Success), expected, "{done:?}");
        assert_eq!(opens_a_session(&client).await, expected);
    }
}
