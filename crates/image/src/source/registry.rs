//! A registry, over the distribution protocol (OCI distribution-spec v1.1, "Pull").
//!
//! Every request has a limit on connecting and on silence; documents are tried again with back-off when the
//! registry is away for a moment. Blobs are not: who reads one begins again.

use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use data_encoding::BASE64;
use futures_util::StreamExt;
use model::{Digest, RegistryCredentials, RegistryRef, Selector};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

use super::auth::{Challenge, TokenAnswer, TokenServer};
use super::{BlobInfo, SourceError};
use crate::config::Patience;
use crate::guard::Access;
use crate::layer::Piece;
use crate::spec::{MANIFEST_TYPES, MAX_DOCUMENT, SpecError};

/// Pieces of a download that wait for the thread that reads them; they are as small as the network makes them.
const IN_FLIGHT: usize = 64;

/// Docker Hub's name, and the host that serves it.
const HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// The HTTP clients, made when first needed: TLS wants the host's certificates, plain connections do not.
pub(crate) struct Http {
    insecure: Vec<String>,
    patience: Patience,
    tls: OnceLock<Client>,
    plain: OnceLock<Client>,
}

impl Http {
    /// Nothing is set up yet.
    pub(crate) fn new(insecure: Vec<String>, patience: Patience) -> Self {
        Self {
            insecure,
            patience,
            tls: OnceLock::new(),
            plain: OnceLock::new(),
        }
    }

    /// One repository of a registry.
    pub(super) fn registry(
        &self,
        reference: &RegistryRef,
        credentials: Option<RegistryCredentials>,
    ) -> Result<Registry, SourceError> {
        let name = reference.registry.clone();
        let is_plain = is_loopback(&name) || self.insecure.contains(&name);
        let http = if is_plain {
            self.client(&self.plain, true)?
        } else {
            self.client(&self.tls, false)?
        };
        let host = if name == HUB.0 { HUB.1 } else { &name };
        let scheme = if is_plain { "http" } else { "https" };
        let base = format!("{scheme}://{host}/v2/{}/", reference.repository);
        let base = Url::parse(&base).map_err(|_| SourceError::Protocol {
            registry: name.clone(),
            what: "its name makes no URL",
        })?;
        let patience = self.patience.clone();
        let selector = reference.selector.clone();
        let repository = reference.repository.clone();
        Ok(Registry {
            http,
            name,
            repository,
            base,
            is_plain,
            selector,
            patience,
            credentials,
            authorization: Mutex::default(),
        })
    }

    fn client(&self, cell: &OnceLock<Client>, is_plain: bool) -> Result<Client, SourceError> {
        if let Some(client) = cell.get() {
            return Ok(client.clone());
        }
        // One provider for the process; whoever came first installed the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = Client::builder()
            .user_agent(concat!("pitwall/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.patience.connect)
            .read_timeout(self.patience.idle);
        let builder = if is_plain {
            builder.no_proxy().tls_certs_only([])
        } else {
            builder
        };
        let client = builder.build().map_err(|source| SourceError::Client { source })?;
        Ok(cell.get_or_init(|| client).clone())
    }
}

/// Whether a registry's name is an address of this host.
fn is_loopback(name: &str) -> bool {
    let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// One repository of a registry.
pub(crate) struct Registry {
    http: Client,
    name: String,
    repository: String,
    base: Url,
    is_plain: bool,
    selector: Selector,
    patience: Patience,
    /// Shown only to whoever asks for them.
    credentials: Option<RegistryCredentials>,
    /// What the registry wants to see with each request, once it said so.
    authorization: Mutex<Option<HeaderValue>>,
}

impl Registry {
    /// As far as it matters who else may read there.
    pub(super) fn access(&self) -> Access {
        let repository = format!("{}/{}", self.name, self.repository);
        match self.credentials {
            Some(_) => Access::Credentials { repository },
            None => Access::Anybody {
                repository: Some(repository),
            },
        }
    }

    /// The manifest or index that the reference names.
    pub(super) async fn top(&self) -> Result<Vec<u8>, SourceError> {
        match &self.selector {
            Selector::Tag(tag) => self.read(&format!("manifests/{tag}")).await,
            Selector::Digest(digest) => {
                let bytes = self.manifest(digest).await?;
                let actual = super::digest_of(&bytes);
                let expected = *digest;
                if actual == expected {
                    Ok(bytes)
                } else {
                    Err(SourceError::Digest { expected, actual })
                }
            }
        }
    }

    /// A manifest or index, unchecked.
    pub(super) async fn manifest(&self, digest: &Digest) -> Result<Vec<u8>, SourceError> {
        self.read(&format!("manifests/{digest}")).await
    }

    /// A small blob, unchecked.
    pub(super) async fn document(&self, blob: BlobInfo) -> Result<Vec<u8>, SourceError> {
        self.read(&format!("blobs/{}", blob.digest)).await
    }

    /// A blob, downloaded by a task that ends with the blob, with its reader, or when cancelled.
    pub(super) async fn blob(
        &self,
        blob: BlobInfo,
        cancelled: &CancellationToken,
    ) -> Result<Receiver<Piece>, SourceError> {
        let response = self.get(&format!("blobs/{}", blob.digest)).await?;
        let expected = blob.size;
        match response.content_length() {
            Some(received) if received < expected => {
                return Err(SourceError::Truncated { received, expected });
            }
            Some(length) if length > expected => return Err(SourceError::TooLong { expected }),
            Some(_) | None => {}
        }
        let (pieces, receiver) = channel(IN_FLIGHT);
        let download = download(response, self.name.clone(), blob.size, pieces);
        let cancelled = cancelled.clone();
        tokio::spawn(async move { cancelled.run_until_cancelled(download).await });
        Ok(receiver)
    }

    /// A whole document, tried again while that may help.
    async fn read(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        let mut attempt = 1;
        loop {
            match self.read_once(path).await {
                Err(error) if error.is_transient() && attempt < self.patience.attempts => {
                    tracing::debug!(registry = self.name, path, attempt, %error, "a request is tried again");
                    tokio::time::sleep(back_off(&self.patience, attempt)).await;
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    async fn read_once(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        let mut response = self.get(path).await?;
        let mut bytes = Vec::new();
        let expected = response.content_length().unwrap_or(0);
        loop {
            let received = bytes.len() as u64;
            let more = response.chunk().await;
            match more.map_err(|source| broken(&self.name, received, expected, source))? {
                Some(chunk) => bytes.extend_from_slice(&chunk),
                None => return Ok(bytes),
            }
            let size = bytes.len() as u64;
            if size > MAX_DOCUMENT {
                return Err(SpecError::TooLarge {
                    size,
                    limit: MAX_DOCUMENT,
                }
                .into());
            }
        }
    }

    /// A successful answer, with what the registry wants to see.
    async fn get(&self, path: &str) -> Result<Response, SourceError> {
        let shown = self
            .authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let response = self.send(path, shown).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.judge(path, response);
        }
        let challenges = response.headers().get_all(WWW_AUTHENTICATE);
        let challenge = challenges
            .iter()
            .find_map(|value| Challenge::parse(value.to_str().ok()?));
        let answer = match challenge {
            Some(Challenge::Token(server)) => {
                let token = self.fetch_token(&server).await?;
                self.sensitive(format!("Bearer {token}"))?
            }
            Some(Challenge::Basic) => match &self.credentials {
                Some(credentials) => self.sensitive(basic(credentials))?,
                None => return self.judge(path, response),
            },
            None => return self.judge(path, response),
        };
        let response = self.send(path, Some(answer.clone())).await?;
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        self.judge(path, response)
    }

    /// A header's value that no log shows.
    fn sensitive(&self, value: String) -> Result<HeaderValue, SourceError> {
        let value = HeaderValue::try_from(value);
        let mut value = value.map_err(|_| self.protocol("its token cannot be sent"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn send(&self, path: &str, shown: Option<HeaderValue>) -> Result<Response, SourceError> {
        let url = self
            .base
            .join(path)
            .map_err(|_| self.protocol("a path makes no URL"))?;
        let mut request = self.http.get(url);
        if path.starts_with("manifests/") {
            request = request.header(ACCEPT, MANIFEST_TYPES.join(", "));
        }
        if let Some(shown) = shown {
            request = request.header(AUTHORIZATION, shown);
        }
        request
            .send()
            .await
            .map_err(|source| unreachable(&self.name, source))
    }

    /// A token, for the credentials where there are some, else for anybody.
    async fn fetch_token(&self, server: &TokenServer) -> Result<String, SourceError> {
        let mut realm =
            Url::parse(&server.realm).map_err(|_| self.protocol("its token server has no URL"))?;
        if !self.is_plain && realm.scheme() != "https" {
            return Err(self.protocol("its token server does not use TLS"));
        }
        let pull = format!("repository:{}:pull", self.repository);
        realm
            .query_pairs_mut()
            .append_pair("scope", server.scope.as_ref().unwrap_or(&pull));
        if let Some(service) = &server.service {
            realm.query_pairs_mut().append_pair("service", service);
        }
        let mut request = self.http.get(realm);
        if let Some(credentials) = &self.credentials {
            request = request.header(AUTHORIZATION, self.sensitive(basic(credentials))?);
        }
        let response = request
            .send()
            .await
            .map_err(|source| unreachable(&self.name, source))?;
        let response = self.judge("its token server", response)?;
        let bytes = response
            .bytes()
            .await
            .map_err(|source| unreachable(&self.name, source))?;
        let answer: Option<TokenAnswer> = serde_json::from_slice(&bytes).ok();
        answer
            .and_then(TokenAnswer::into_token)
            .ok_or_else(|| self.protocol("its token server gave no token"))
    }

    fn judge(&self, path: &str, response: Response) -> Result<Response, SourceError> {
        let registry = self.name.clone();
        match response.status() {
            StatusCode::OK => Ok(response),
            StatusCode::NOT_FOUND => Err(SourceError::NotFound {
                what: format!("{}/{path}", self.repository),
            }),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(SourceError::Forbidden {
                registry,
                status: status.as_u16(),
            }),
            status => Err(SourceError::Status {
                registry,
                status: status.as_u16(),
            }),
        }
    }

    fn protocol(&self, what: &'static str) -> SourceError {
        SourceError::Protocol {
            registry: self.name.clone(),
            what,
        }
    }
}

/// What shows credentials to whoever may see them (RFC 7617).
fn basic(credentials: &RegistryCredentials) -> String {
    let pair = format!("{}:{}", credentials.username, credentials.password);
    format!("Basic {}", BASE64.encode(pair.as_bytes()))
}

/// How long to wait after an attempt.
pub(crate) fn back_off(patience: &Patience, attempt: u32) -> Duration {
    patience
        .back_off
        .saturating_mul(1 << attempt.saturating_sub(1).min(10))
}

async fn download(response: Response, registry: String, expected: u64, pieces: Sender<Piece>) {
    let mut stream = response.bytes_stream();
    let mut received = 0;
    while let Some(next) = stream.next().await {
        let piece = match next {
            Ok(bytes) => {
                received += bytes.len() as u64;
                Ok(Some(bytes))
            }
            Err(source) => Err(broken(&registry, received, expected, source)),
        };
        let is_last = piece.is_err();
        if pieces.send(piece).await.is_err() || is_last {
            return;
        }
    }
    drop(pieces.send(Ok(None)).await);
}

fn unreachable(registry: &str, source: reqwest::Error) -> SourceError {
    let registry = registry.to_owned();
    if source.is_timeout() && !source.is_connect() {
        SourceError::TimedOut { registry, source }
    } else {
        SourceError::Unreachable { registry, source }
    }
}

fn broken(registry: &str, received: u64, expected: u64, source: reqwest::Error) -> SourceError {
    if source.is_timeout() {
        SourceError::TimedOut {
            registry: registry.to_owned(),
            source,
        }
    } else {
        SourceError::Interrupted {
            received,
            expected,
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Http, is_loopback};
    use crate::config::Patience;

    #[test]
    fn registries_elsewhere_are_spoken_to_with_tls() {
        let http = Http::new(vec!["insecure.example.com:5000".into()], Patience::default());
        for (reference, base) in [
            ("debian", "https://registry-1.docker.io/v2/library/debian/"),
            ("quay.io/a/b", "https://quay.io/v2/a/b/"),
            (
                "insecure.example.com:5000/a",
                "http://insecure.example.com:5000/v2/a/",
            ),
            ("localhost:5000/a", "http://localhost:5000/v2/a/"),
        ] {
            let model::ImageRef::Registry(reference) = reference.parse().expect("a reference") else {
                continue;
            };
            assert_eq!(
                http.registry(&reference, None).expect("a client").base.as_str(),
                base
            );
        }
    }

    #[test]
    fn only_this_host_is_spoken_to_without_tls() {
        for here in ["localhost", "localhost:5000", "127.0.0.1:80", "127.9.9.9"] {
            assert!(is_loopback(here), "{here}");
        }
        for there in [
            "localhost.example.com",
            "10.0.0.1",
            "127.example.com:1",
            "128.0.0.1:5000",
        ] {
            assert!(!is_loopback(there), "{there}");
        }
    }
}
