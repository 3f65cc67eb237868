//! Credentials for registries: kept here, named in plans, given to the host that runs their VM.
//!
//! ```text
//!   create, rebuild { registry_auth } ─► store: secret, version   VmBody { registry_secret: id, version } ─► plan ─► host
//!                                           ▲                                                                       │
//!                                           └───────────── secret_find ◄───────── link: SecretRequest ◄─────────────┘
//! ```
//!
//! What always holds:
//!
//! - A secret is in no plan, event, log line, error or answer of the API.
//! - A host gets those of its own VMs only, in the version that is asked for now.
//! - A secret ends when its VM names it no more: with the VM, when it is given away, and when it is made anew from what
//!   the secret was not presented for (`rebuild`). Its version rises when another takes its place.

use link::SecretAsk;
use model::{HostId, ImageRef, Problem, ProblemCode, RegistryCredentials, SecretId, SecretRef, UserId, VmId};
use store::Write;
use wire::secret::{SecretRefusal, SecretRequest};

use crate::clock::draw;
use crate::{Control, Entropy, Error};

/// In characters, far beyond what registries give out; some passwords are signed tokens.
const MAX_USERNAME: usize = 256;
const MAX_PASSWORD: usize = 16 * 1024;

/// Refuses credentials that cannot be sent to a registry (RFC 7617), or that nobody would ask for. What was given is
/// never repeated.
pub(crate) fn check(credentials: &RegistryCredentials, image: &ImageRef) -> Result<(), Problem> {
    let invalid = |pointer: &str, detail: &str| {
        Err(Problem::new(ProblemCode::InvalidValue, detail).at(format!("/registry_auth{pointer}")))
    };
    if matches!(image, ImageRef::Layout(_)) {
        return invalid("", "an image on the host's own disk needs no credentials");
    }
    let RegistryCredentials { username, password } = credentials;
    if username.is_empty() || username.chars().count() > MAX_USERNAME {
        return invalid("/username", "a registry's user name has 1 to 256 characters");
    }
    if username.contains(|c: char| c == ':' || c.is_control()) {
        return invalid(
            "/username",
            "a registry's user name has neither colons nor control characters",
        );
    }
    if password.is_empty() || password.chars().count() > MAX_PASSWORD {
        return invalid("/password", "a registry's password has 1 to 16384 characters");
    }
    if password.contains(char::is_control) {
        return invalid("/password", "a registry's password has no control characters");
    }
    Ok(())
}

/// The name of a VM's next secret: a further version of the one it has, else a new one.
pub(crate) fn next(before: Option<SecretRef>, entropy: &dyn Entropy) -> Result<SecretRef, Error> {
    Ok(match before {
        Some(SecretRef { id, version }) => SecretRef {
            id,
            version: version + 1,
        },
        None => SecretRef {
            id: SecretId::from_random(draw(entropy)?),
            version: 1,
        },
    })
}

/// Keeps the credentials of a VM under the name that its body has, with who presented them.
pub(crate) async fn keep(
    write: &mut Write,
    vm: VmId,
    secret: Option<SecretRef>,
    presented_by: UserId,
    credentials: Option<&RegistryCredentials>,
) -> Result<(), Error> {
    if let (Some(secret), Some(credentials)) = (secret, credentials) {
        write.secret_put(vm, secret, presented_by, credentials).await?;
    }
    Ok(())
}

impl Control {
    /// Answers what hosts ask, for as long as there is a way to them.
    pub(crate) async fn give_secrets(&self) {
        let mut asks = self.inner.link.serve_secrets();
        while let Some(ask) = asks.recv().await {
            self.give(ask).await;
        }
        // Another control plane of this process answers from now on.
        std::future::pending::<()>().await;
    }

    async fn give(&self, ask: SecretAsk) {
        let SecretRequest { vm, secret } = ask.request;
        let answer = self.secret_find(ask.host, ask.request).await;
        match &answer {
            Ok(_) => {
                tracing::info!(vm.id = %vm, host.id = %ask.host, secret.id = %secret.id, "a secret is given")
            }
            Err(why) => {
                tracing::warn!(vm.id = %vm, host.id = %ask.host, secret.id = %secret.id, %why, "a secret is refused");
            }
        }
        ask.answer(answer);
    }

    pub(crate) async fn secret_find(
        &self,
        host: HostId,
        request: SecretRequest,
    ) -> Result<RegistryCredentials, SecretRefusal> {
        let unavailable = |error: store::StoreError| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a secret cannot be read"
            );
            SecretRefusal::Unavailable
        };
        let SecretRequest { vm, secret } = request;
        let mut read = self.inner.store.read().await.map_err(unavailable)?;
        let found = read.vm_fetch(vm).await.map_err(unavailable)?;
        let asks_for_it = found.is_some_and(|vm| {
            vm.host == host && !vm.asked.remove && vm.asked.body.registry_secret == Some(secret)
        });
        if !asks_for_it {
            return Err(SecretRefusal::Unknown);
        }
        let credentials = read.secret_fetch(vm, secret).await.map_err(unavailable)?;
        credentials.ok_or(SecretRefusal::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_cannot_be_sent_are_refused_at_their_place_and_not_repeated() {
        let image: ImageRef = "registry.example/app:1".parse().unwrap();
        let layout: ImageRef = "oci:/images/app".parse().unwrap();
        let long = "x".repeat(MAX_PASSWORD + 1);
        for (username, password, image, pointer) in [
            ("fred", "pass:word", &image, None),
            ("", "canary", &image, Some("/registry_auth/username")),
            ("can:ary", "canary", &image, Some("/registry_auth/username")),
            ("fred", "", &image, Some("/registry_auth/password")),
            ("fred", "canary\n", &image, Some("/registry_auth/password")),
            ("fred", long.as_str(), &image, Some("/registry_auth/password")),
            ("fred", "canary", &layout, Some("/registry_auth")),
        ] {
            let credentials = RegistryCredentials {
                username: username.to_owned(),
                password: password.to_owned(),
            };
            let refused = check(&credentials, image).err();
            assert!(!format!("{refused:?}").contains("canary"), "{refused:?}");
            assert_eq!(refused.and_then(|problem| problem.pointer).as_deref(), pointer);
        }
    }
}
