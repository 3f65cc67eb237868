//! User certificates of an authority that the configuration names (OpenSSH PROTOCOL.certkeys).
//!
//! The library has verified the client's signature, and that the certificate is signed by the key it names. Whether
//! that key is one we trust, for whom, when, from where and for what is judged here, and here only.
//!
//! Always holds: a certificate opens nothing unless each thing it demands was understood and is so.

use std::net::IpAddr;

use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate, HashAlg};

use super::grant::Grant;
use super::{sources, strength};
use crate::ssh::permissions::Permissions;

/// Who shows a certificate, and when.
#[derive(Debug, Clone, Copy)]
pub(in crate::ssh) struct Bearer<'a> {
    /// The name that the client gave.
    pub(super) login: &'a str,
    /// The user of the image that the name maps to.
    pub(super) account: &'a str,
    pub(super) address: IpAddr,
    /// Seconds since 1970-01-01 UTC.
    pub(super) now: u64,
}

/// Why a certificate opens nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::ssh) enum Refusal {
    #[error("no authority of this VM has signed it")]
    UnknownAuthority,
    #[error("its signature is not right, or made with SHA-1")]
    Signature,
    #[error("its key is too weak")]
    WeakKey,
    #[error("it is a host's certificate, not a user's")]
    NotAUsers,
    #[error("it is not valid yet")]
    NotYetValid,
    #[error("it has expired")]
    Expired,
    #[error("it names neither the login nor the user that the login maps to")]
    OtherPrincipals,
    #[error("it demands {0:?}, which is not known here")]
    UnknownOption(String),
    #[error("it is not for this address")]
    OtherSource,
}

/// Pure: what the certificate gives its bearer.
pub(in crate::ssh) fn judge(
    certificate: &Certificate,
    authorities: &[KeyData],
    bearer: Bearer<'_>,
) -> Result<Grant, Refusal> {
    if !authorities.contains(certificate.signature_key()) {
        return Err(Refusal::UnknownAuthority);
    }
    if !certificate.cert_type().is_user() {
        return Err(Refusal::NotAUsers);
    }
    if !strength::suffices(certificate.public_key()) {
        return Err(Refusal::WeakKey);
    }
    check_time(certificate, bearer.now)?;
    check_signature(certificate, bearer.now)?;
    let names_bearer = |name: &String| name == bearer.login || name == bearer.account;
    if !certificate.valid_principals().iter().any(names_bearer) {
        return Err(Refusal::OtherPrincipals);
    }
    let forced_command = demands(certificate, bearer.address)?;
    let permits = |extension: &str| certificate.extensions().contains_key(extension);
    Ok(Grant {
        forced_command,
        permissions: Permissions {
            terminal: permits("permit-pty"),
            forwarding: permits("permit-port-forwarding"),
            agent: permits("permit-agent-forwarding"),
        },
    })
}

fn check_time(certificate: &Certificate, now: u64) -> Result<(), Refusal> {
    if now < certificate.valid_after() {
        return Err(Refusal::NotYetValid);
    }
    if now >= certificate.valid_before() {
        return Err(Refusal::Expired);
    }
    Ok(())
}

/// Once more after the library, so that a change there opens nothing here.
fn check_signature(certificate: &Certificate, now: u64) -> Result<(), Refusal> {
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    let is_sha1 = certificate.signature().algorithm() == Algorithm::Rsa { hash: None };
    let is_right = certificate.validate_at(now, [&authority]).is_ok();
    if is_sha1 || !is_right {
        return Err(Refusal::Signature);
    }
    Ok(())
}

/// Goes through the critical options and gives the forced command.
fn demands(certificate: &Certificate, address: IpAddr) -> Result<Option<String>, Refusal> {
    let mut forced_command = None;
    for (name, value) in certificate.critical_options().iter() {
        match name.as_str() {
            "force-command" => forced_command = Some(value.clone()),
            "source-address" if sources::within(value, address) == Some(true) => {}
            "source-address" => return Err(Refusal::OtherSource),
            _ => return Err(Refusal::UnknownOption(name.clone())),
        }
    }
    Ok(forced_command)
}

#[cfg(test)]
mod tests {
    use russh::keys::PrivateKey;
    use russh::keys::ssh_key::certificate::{Builder, CertType};
    use russh::keys::ssh_key::private::Ed25519Keypair;

    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
    }

    fn authority() -> PrivateKey {
        key(1)
    }

    fn bearer() -> Bearer<'static> {
        Bearer {
            login: "fred",
            account: "root",
            address: "192.0.2.7".parse().unwrap(),
            now: NOW,
        }
    }

    /// A good certificate for fred, changed.
    fn signed_by(authority: &PrivateKey, change: impl FnOnce(&mut Builder)) -> Certificate {
        let subject = key(2).public_key().key_data().clone();
        let mut builder = Builder::new(vec![7; 16], subject, NOW - 60, NOW + 60).unwrap();
        change(&mut builder);
        builder.sign(authority).unwrap()
    }

    fn judged(change: impl FnOnce(&mut Builder)) -> Result<Grant, Refusal> {
        let authorities = [key(9), authority()].map(|key| key.public_key().key_data().clone());
        judge(&signed_by(&authority(), change), &authorities, bearer())
    }

    /// The least that is good.
    fn named(builder: &mut Builder) {
        builder.valid_principal("fred").unwrap();
    }

    #[test]
    fn extensions_give_and_their_absence_withholds() {
        let bare = judged(named);
        assert_eq!(bare.unwrap().permissions, Permissions::NONE);
        let full = judged(|builder| {
            named(builder);
            for name in [
                "permit-agent-forwarding",
                "permit-port-forwarding",
                "permit-pty",
                "permit-something-new",
            ] {
                builder.extension(name, "").unwrap();
            }
        });
        assert_eq!(full, Ok(Grant::EVERYTHING));
    }

    #[test]
    fn the_login_or_its_user_must_be_named() {
        let naming = |name: &'static str| {
            judged(move |builder| {
                builder.valid_principal(name).unwrap();
            })
        };
        assert!(naming("root").is_ok());
        assert_eq!(naming("ann"), Err(Refusal::OtherPrincipals));
        let nobody = judged(|builder| {
            builder.all_principals_valid().unwrap();
        });
        assert_eq!(nobody, Err(Refusal::OtherPrincipals));
    }

    #[test]
    fn only_an_authority_of_ours_counts() {
        let certificate = signed_by(&key(3), named);
        let ours = [authority().public_key().key_data().clone()];
        assert_eq!(
            judge(&certificate, &ours, bearer()),
            Err(Refusal::UnknownAuthority)
        );
        assert_eq!(judge(&certificate, &[], bearer()), Err(Refusal::UnknownAuthority));
    }

    #[test]
    fn a_forged_signature_opens_nothing() {
        let ours = [authority().public_key().key_data().clone()];
        let mut bytes = signed_by(&authority(), named).to_bytes().unwrap();
        let name = bytes.windows(4).position(|part| part == b"fred").unwrap();
        bytes[name..name + 4].copy_from_slice(b"root");
        let forged = Certificate::from_bytes(&bytes).unwrap();
        assert_eq!(judge(&forged, &ours, bearer()), Err(Refusal::Signature));
    }

    #[test]
    fn a_hosts_certificate_opens_nothing() {
        let host = judged(|builder| {
            named(builder);
            builder.cert_type(CertType::Host).unwrap();
        });
        assert_eq!(host, Err(Refusal::NotAUsers));
    }

    #[test]
    fn its_time_begins_and_ends_sharply() {
        let ours = [authority().public_key().key_data().clone()];
        let certificate = signed_by(&authority(), named);
        let at = |now| judge(&certificate, &ours, Bearer { now, ..bearer() });
        assert_eq!(at(NOW - 61), Err(Refusal::NotYetValid));
        assert!(at(NOW - 60).is_ok() && at(NOW + 59).is_ok());
        assert_eq!(at(NOW + 60), Err(Refusal::Expired));
    }

    #[test]
    fn what_it_demands_is_obeyed_or_refused() {
        let option = |name: &'static str, value: &'static str| {
            judged(move |builder| {
                named(builder);
                builder.critical_option(name, value).unwrap();
            })
        };
        let forced = option("force-command", "uptime").unwrap();
        assert_eq!(forced.forced_command.as_deref(), Some("uptime"));
        assert!(option("source-address", "10.0.0.0/8,192.0.2.0/24").is_ok());
        for list in ["10.0.0.0/8", "192.0.2.7/24", "", "here"] {
            assert_eq!(
                option("source-address", list),
                Err(Refusal::OtherSource),
                "{list}"
            );
        }
        let unknown = option("verify-required", "");
        assert_eq!(unknown, Err(Refusal::UnknownOption("verify-required".into())));
    }
}
