//! The typed client: a method per endpoint.
//!
//! An answer that is not good becomes [`ClientError::Problem`] with the server's own words. Fields that this version
//! does not know are passed over. A token or code travels only over TLS or to this very machine, unless its user says otherwise. A
//! server that is asked too often says when to ask again, and is.

mod account;
mod actions;
mod audit;
mod calls;
mod error;
mod files;
mod follow;
mod lines;
mod lists;
mod once;
mod pages;
mod sharing;
mod stream;
mod trust;
mod turn;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{RequestBuilder, Response, Url};
use rustls::crypto::ring;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::ClientError;
pub use follow::{EventId, Received};
pub use pages::{Pages, all_pages, pages_up_to};
pub use stream::{Stream, StreamReader, StreamWriter};
use trust::Trust;

use crate::{Content, Endpoint, MERGE_PATCH_MEDIA_TYPE, ProblemDocument};

/// How long a server may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long one request may take. Only one endpoint waits for a VM, and is given its time; the others answer in
/// milliseconds.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// Where the server is and who asks.
#[derive(Clone)]
pub struct ClientConfig {
    /// The server's address, such as `http://127.0.0.1:7480`.
    pub url: String,
    /// The bearer token, where there is one.
    pub token: Option<String>,
    /// Name and version of the program, for the server's log.
    pub user_agent: String,
}

/// A server, as its callers see it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Arc<Url>,
    token: Option<HeaderValue>,
    user_agent: Arc<str>,
    trust: Trust,
    /// Whether its user has said that everybody on the way may read along.
    in_the_clear: bool,
}

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// When the address is none, when a token would travel in the clear, or when TLS cannot be set up.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        let has_token = config.token.is_some();
        let client = Self::with(config, Trust::System, false)?;
        if has_token {
            client.may_carry_secrets()?;
        }
        Ok(client)
    }

    /// A client whose secrets may be read by everybody on the way, where its user has said that this is meant.
    ///
    /// # Errors
    /// When the address is none, or when TLS cannot be set up.
    pub fn new_in_the_clear(config: ClientConfig) -> Result<Self, ClientError> {
        Self::with(config, Trust::System, true)
    }

    /// A client for a server that shows this very certificate: the first one in `pem`. No other is taken, and this one
    /// is, whoever signed it and whatever names are in it.
    ///
    /// # Errors
    /// As [`Client::new`], and when `pem` holds no certificate.
    pub fn new_trusting_only(config: ClientConfig, pem: &[u8]) -> Result<Self, ClientError> {
        let client = Self::with(config, Trust::only(pem)?, false)?;
        client.may_carry_secrets()?;
        Ok(client)
    }

    fn with(config: ClientConfig, trust: Trust, in_the_clear: bool) -> Result<Self, ClientError> {
        let base = parse_base(&config.url)?;
        let token = config.token.map(bearer).transpose()?;
        let http = build(http_client(&base, &config.user_agent, &trust)?)?;
        Ok(Self {
            http,
            base: Arc::new(base),
            token,
            user_agent: config.user_agent.into(),
            trust,
            in_the_clear,
        })
    }

    /// Whether what opens an account may be sent to this server, and asked of it.
    ///
    /// # Errors
    /// When everybody on the way could read it, and nobody has said that this is meant.
    pub fn may_carry_secrets(&self) -> Result<(), ClientError> {
        match self.base.scheme() != "http" || is_loopback(&self.base) || self.in_the_clear {
            true => Ok(()),
            false => Err(ClientError::TokenInTheClear {
                url: self.url().to_owned(),
            }),
        }
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    fn request(&self, endpoint: &Endpoint, values: &[&str]) -> Result<RequestBuilder, ClientError> {
        self.request_by(&self.http, endpoint, values)
    }

    fn request_by(
        &self,
        http: &reqwest::Client,
        endpoint: &Endpoint,
        values: &[&str],
    ) -> Result<RequestBuilder, ClientError> {
        if let Some(bad) = values.iter().find(|value| matches!(**value, "" | "." | "..")) {
            return Err(ClientError::Segment {
                value: (*bad).to_owned(),
            });
        }
        let mut url = Url::clone(&self.base);
        let path = format!(
            "{}{}",
            url.path().trim_end_matches('/'),
            endpoint.path_with(values)
        );
        url.set_path(&path);
        let request = http.request(endpoint.method.clone(), url);
        Ok(match &self.token {
            Some(token) => request.header(AUTHORIZATION, token.clone()),
            None => request,
        })
    }

    async fn call<A: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        values: &[&str],
    ) -> Result<A, ClientError> {
        let request = self.request(endpoint, values)?;
        self.answer_to(endpoint, request).await
    }

    async fn call_with<A: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        values: &[&str],
        body: &impl Serialize,
    ) -> Result<A, ClientError> {
        let mut request = self.request(endpoint, values)?;
        if matches!(endpoint.request, Some(Content::MergePatch(_))) {
            request = request.header(CONTENT_TYPE, MERGE_PATCH_MEDIA_TYPE);
        }
        self.answer_to(endpoint, request.json(body)).await
    }

    async fn answer_to<A: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        request: RequestBuilder,
    ) -> Result<A, ClientError> {
        match endpoint.takes_key() {
            true => self.answer_once(request).await,
            false => self.answer(request).await,
        }
    }

    async fn answer<A: DeserializeOwned>(&self, request: RequestBuilder) -> Result<A, ClientError> {
        self.answer_within(request, REQUEST_LIMIT).await
    }

    async fn answer_within<A: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        limit: Duration,
    ) -> Result<A, ClientError> {
        let request = request.header(ACCEPT, "application/json").timeout(limit);
        let response = self.send(request).await?;
        let body = response.bytes().await.map_err(|source| self.broken(source))?;
        serde_json::from_slice(&body).map_err(|source| ClientError::Answer {
            url: self.url().to_owned(),
            source,
        })
    }

    /// What an answer that is not good says.
    async fn refusal(&self, response: Response) -> ClientError {
        let status = response.status();
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(source) => return self.broken(source),
        };
        match serde_json::from_slice::<ProblemDocument>(&body) {
            Ok(problem) => ClientError::Problem(Box::new(problem)),
            Err(_) => ClientError::NotPitwall {
                url: self.url().to_owned(),
                status: status.as_u16(),
            },
        }
    }

    fn broken(&self, source: reqwest::Error) -> ClientError {
        let url = self.url().to_owned();
        // The address is in our own words already.
        let source = source.without_url();
        match source.is_timeout() && !source.is_connect() {
            true => ClientError::Timeout { url, source },
            false => ClientError::Unreachable { url, source },
        }
    }
}

fn parse_base(text: &str) -> Result<Url, ClientError> {
    let bad = || ClientError::Url { url: text.to_owned() };
    let url = Url::parse(text).map_err(|_| bad())?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    match matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain {
        true => Ok(url),
        false => Err(bad()),
    }
}

/// Whether the address of a server is this machine's own.
pub fn is_this_machine(url: &str) -> bool {
    parse_base(url).is_ok_and(|url| is_loopback(&url))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn bearer(token: String) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ClientError::TokenForm)?;
    value.set_sensitive(true);
    Ok(value)
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, ClientError> {
    builder.build().map_err(|source| ClientError::Setup { source })
}

fn http_client(base: &Url, user_agent: &str, trust: &Trust) -> Result<reqwest::ClientBuilder, ClientError> {
    // A default that somebody else has set already serves as well.
    let _ = ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(user_agent)
        .connect_timeout(CONNECT_LIMIT)
        .redirect(reqwest::redirect::Policy::none());
    if is_loopback(base) {
        // A proxy would carry the token off this machine.
        builder = builder.no_proxy();
    }
    if base.scheme() == "http" {
        // Nothing to verify, so the system's certificates, milliseconds of parsing, are left unread.
        builder = builder.tls_certs_only([]);
    }
    trust.apply(builder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str, token: Option<&str>) -> Result<Client, ClientError> {
        Client::new(ClientConfig {
            url: url.to_owned(),
            token: token.map(str::to_owned),
            user_agent: "test".to_owned(),
        })
    }

    #[test]
    fn a_token_travels_in_the_clear_to_this_machine_only() {
        for url in [
            "http://127.0.0.1:7480",
            "http://localhost:1/",
            "http://[::1]:2",
            "https://pitwall.example",
        ] {
            assert!(client(url, Some("t")).is_ok(), "{url}");
        }
        for url in [
            "http://10.0.0.1:7480",
            "http://pitwall.example",
            "http://localhost.example",
        ] {
            assert!(
                matches!(client(url, Some("t")), Err(ClientError::TokenInTheClear { .. })),
                "{url}"
            );
            let without = client(url, None).unwrap();
            assert!(
                matches!(
                    without.may_carry_secrets(),
                    Err(ClientError::TokenInTheClear { .. })
                ),
                "{url}"
            );
            let meant = ClientConfig {
                url: url.to_owned(),
                token: Some("t".to_owned()),
                user_agent: "test".to_owned(),
            };
            let meant = Client::new_in_the_clear(meant).unwrap();
            assert!(meant.may_carry_secrets().is_ok(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_code_is_not_sent_in_the_clear() {
        let client = client("http://192.0.2.1", None).unwrap();
        let refused = client.login("code", "name").await;
        assert!(
            matches!(refused, Err(ClientError::TokenInTheClear { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn addresses_that_are_none_are_refused() {
        for url in ["", "127.0.0.1:7480", "ftp://x", "http://user:pw@x", "unix:/run/x"] {
            assert!(matches!(client(url, None), Err(ClientError::Url { .. })), "{url}");
        }
    }

    #[test]
    fn a_value_cannot_climb_out_of_its_place_in_the_path() {
        let client = client("http://127.0.0.1:1", None).unwrap();
        for bad in ["", ".", ".."] {
            assert!(
                matches!(
                    client.request(&crate::vms::GET, &[bad]),
                    Err(ClientError::Segment { .. })
                ),
                "{bad}"
            );
        }
        let request = client
            .request(&crate::vms::GET, &["../x"])
            .unwrap()
            .build()
            .unwrap();
        assert_eq!(request.url().path(), "/v1/vms/..%2Fx");
    }

    #[test]
    fn a_token_is_not_shown() {
        let client = client("http://127.0.0.1:1", Some("canary")).unwrap();
        assert!(!format!("{client:?}").contains("canary"));
    }
}
