//! Hardware-backed keys, with an agent that signs as a FIDO token does (OpenSSH PROTOCOL.u2f).

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;

use russh::keys::signature::Signer;
use russh::keys::ssh_key::Signature;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::ssh_key::public::{EcdsaPublicKey, KeyData, SkEcdsaSha2NistP256, SkEd25519};
use russh::keys::{EcdsaCurve, PrivateKey, PublicKey};
use sha2::{Digest, Sha256};

use crate::assert_refused;
use crate::certificates::sign;
use crate::server::Server;
use crate::support::ssh::KeyPair;

const APPLICATION: &str = "ssh:";
/// Somebody touched the token (WebAuthn, authenticator data).
const USER_PRESENT: u8 = 1;

/// A token in software.
pub(crate) struct Token {
    private: PrivateKey,
    public: PublicKey,
    flags: u8,
}

impl Token {
    fn ed25519(flags: u8) -> Self {
        let pair = Ed25519Keypair::from_seed(&[5; 32]);
        let public = KeyData::from(SkEd25519::new(pair.public, APPLICATION));
        Self {
            private: pair.into(),
            public: public.into(),
            flags,
        }
    }

    pub(crate) fn ecdsa() -> Self {
        let private = PrivateKey::random(
            &mut russh::keys::key::safe_rng(),
            russh::keys::Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP256,
            },
        )
        .unwrap();
        let KeyData::Ecdsa(EcdsaPublicKey::NistP256(point)) = private.public_key().key_data() else {
            unreachable!("another curve was asked for");
        };
        let public = KeyData::from(SkEcdsaSha2NistP256::new(*point, APPLICATION));
        Self {
            private,
            public: public.into(),
            flags: USER_PRESENT,
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let counter = 7_u32.to_be_bytes();
        let mut signed = Sha256::digest(APPLICATION).to_vec();
        signed.push(self.flags);
        signed.extend(counter);
        signed.extend(Sha256::digest(message));
        let signature: Signature = self.private.key_data().sign(&signed);
        let mut answer = Vec::new();
        put(&mut answer, self.public.algorithm().as_str().as_bytes());
        put(&mut answer, signature.as_bytes());
        answer.push(self.flags);
        answer.extend(counter);
        answer
    }

    /// Answers one client of the agent (draft-ietf-sshm-ssh-agent).
    fn serve(&self, mut client: UnixStream) {
        let blob = self.public.to_bytes().unwrap();
        loop {
            let mut length = [0; 4];
            if client.read_exact(&mut length).is_err() {
                return;
            }
            let mut request = vec![0; u32::from_be_bytes(length) as usize];
            client.read_exact(&mut request).unwrap();
            let mut answer = Vec::new();
            match request.split_first() {
                Some((11, _)) => {
                    answer.push(12);
                    answer.extend(1_u32.to_be_bytes());
                    put(&mut answer, &blob);
                    put(&mut answer, b"token");
                }
                Some((13, mut rest)) => {
                    assert_eq!(take(&mut rest), blob);
                    answer.push(14);
                    put(&mut answer, &self.sign(take(&mut rest)));
                }
                _ => answer.push(5),
            }
            let length = u32::try_from(answer.len()).unwrap().to_be_bytes();
            client.write_all(&[&length, answer.as_slice()].concat()).unwrap();
        }
    }
}

/// A string of RFC 4251.
fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    to.extend(bytes);
}

fn take<'a>(from: &mut &'a [u8]) -> &'a [u8] {
    let (length, rest) = from.split_first_chunk().unwrap();
    let (bytes, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
    *from = rest;
    bytes
}

/// A token at an agent's socket, and a file with its public key.
pub(crate) struct Agent {
    pub(crate) socket: PathBuf,
    public: PathBuf,
}

impl Agent {
    pub(crate) fn start(server: &Server, name: &str, token: Token) -> Self {
        let socket = server.folder.path().join(format!("{name}.agent"));
        let public = server.folder.path().join(format!("{name}.pub"));
        fs::write(&public, token.public.to_openssh().unwrap()).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let token = Arc::new(token);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let token = Arc::clone(&token);
                std::thread::spawn(move || token.serve(client.unwrap()));
            }
        });
        Self { socket, public }
    }

    fn line(&self) -> String {
        fs::read_to_string(&self.public).unwrap()
    }

    fn ssh(&self, server: &Server, options: &[&str]) -> std::process::Output {
        let agent = format!("IdentityAgent={}", self.socket.display());
        let key = format!("IdentityFile={}", self.public.display());
        let client = server.client();
        let mut ssh = client.command(&[&["-o", &agent, "-o", &key], options].concat());
        ssh.arg("echo in").output().unwrap()
    }
}

#[test]
fn keys_on_a_token_open() {
    let Some(mut server) = Server::start() else { return };
    let agents = [
        Agent::start(&server, "sk-ed25519", Token::ed25519(USER_PRESENT)),
        Agent::start(&server, "sk-ecdsa", Token::ecdsa()),
    ];
    server.configure(2, vec![]);
    for agent in &agents {
        assert_refused(&agent.ssh(&server, &[]), "a token that nobody named");
    }
    server.configure(3, agents.iter().map(Agent::line).collect());
    for agent in &agents {
        let output = agent.ssh(&server, &[]);
        assert_eq!(output.stdout, b"in\n", "{}: {output:?}", agent.line());
    }
}

#[test]
fn certificates_for_keys_on_a_token_open() {
    let Some(mut server) = Server::start() else { return };
    let authority = KeyPair::generate(server.folder.path(), "authority");
    server.configure_ssh(2, |ssh| ssh.user_cas = vec![authority.public()]);
    for (name, token) in [
        ("sk-ed25519", Token::ed25519(USER_PRESENT)),
        ("sk-ecdsa", Token::ecdsa()),
    ] {
        let agent = Agent::start(&server, name, token);
        assert_refused(&agent.ssh(&server, &[]), name);
        let certificate = sign(&authority, &agent.public, &["-n", "fred"]);
        let file = format!("CertificateFile={}", certificate.display());
        let output = agent.ssh(&server, &["-o", &file]);
        assert_eq!(output.stdout, b"in\n", "{name}: {output:?}");
    }
}

/// The library does not show the flag. docs/guest.md says so; when this fails, the library has learnt to, and the
/// page has to change.
#[test]
fn touch_cannot_be_enforced_yet() {
    let Some(mut server) = Server::start() else { return };
    let agent = Agent::start(&server, "untouched", Token::ed25519(0));
    server.configure(2, vec![agent.line()]);
    assert_eq!(agent.ssh(&server, &[]).stdout, b"in\n");
}
