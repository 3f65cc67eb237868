//! TLS, and a certificate that is renewed while it is served.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use server::{Door, Edges, Tls, TlsError, TlsFiles};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::served::{Answer, Served, until};

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

fn put(files: &TlsFiles, certified: &CertifiedKey<KeyPair>) {
    fs::write(&files.certificate, certified.cert.pem()).unwrap();
    fs::write(&files.key, certified.signing_key.serialize_pem()).unwrap();
}

fn files(folder: &Path) -> TlsFiles {
    TlsFiles {
        certificate: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    }
}

async fn connect(
    served: &Served,
    trusted: &[&CertificateDer<'static>],
) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add((*certificate).clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    connector
        .connect(ServerName::try_from("localhost").unwrap(), served.connect().await)
        .await
}

/// The certificate that a new connection is shown.
async fn shown(served: &Served, trusted: &[&CertificateDer<'static>]) -> Option<CertificateDer<'static>> {
    let stream = connect(served, trusted).await.ok()?;
    let (_, session) = stream.get_ref();
    Some(session.peer_certificates()?.first()?.clone().into_owned())
}

async fn get(served: &Served, trusted: &CertificateDer<'static>) -> Answer {
    let mut stream = connect(served, &[trusted]).await.unwrap();
    stream
        .write_all(b"GET /v1/version HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    Answer::read(&answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_while_it_is_served_and_a_broken_one_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let (first, second, third) = (certificate(), certificate(), certificate());
    let all = [first.cert.der(), second.cert.der(), third.cert.der()];
    put(&files, &first);
    let tls = Tls::open(files.clone()).unwrap();
    let served = Served::behind(|listener| Door {
        tls: Some(tls),
        ..Door::from(listener)
    })
    .await;
    let answer = get(&served, first.cert.der()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        connect(&served, &[second.cert.der()]).await.is_err(),
        "a client checks whom it talks to"
    );
    let open = connect(&served, &all).await.unwrap();

    put(&files, &second);
    until("the new certificate is shown", async || {
        shown(&served, &all).await.as_ref() == Some(second.cert.der())
    })
    .await;

    // A key that is another's, then no PEM at all: the log says so, and nothing else happens.
    let complaint = "a changed certificate cannot be used";
    for (what, content) in [
        ("another's key", third.signing_key.serialize_pem()),
        ("junk", "what is this?".to_owned()),
    ] {
        let before = crate::log::text().matches(complaint).count();
        fs::write(&files.key, content).unwrap();
        until("the log complains", async || {
            crate::log::text().matches(complaint).count() > before
        })
        .await;
        assert_eq!(
            shown(&served, &all).await.as_ref(),
            Some(second.cert.der()),
            "{what}"
        );
    }
    put(&files, &third);
    until("the mended one is shown", async || {
        shown(&served, &all).await.as_ref() == Some(third.cert.der())
    })
    .await;
    let log = crate::log::text();
    assert!(!log.contains("PRIVATE KEY"), "a key is in the log");
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_the_certificate_asks_by_any_address() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let (shown, another) = (certificate(), certificate());
    put(&files, &shown);
    let tls = Tls::open(files).unwrap();
    let served = Served::behind(|listener| Door {
        tls: Some(tls),
        ..Door::from(listener)
    })
    .await;
    let ask = async |pem: &str| {
        let config = api::ClientConfig {
            // No name in the certificate fits it.
            url: format!("https://{}", served.address),
            token: Some("secret".to_owned()),
            user_agent: "test".to_owned(),
        };
        let client = api::Client::new_trusting_only(config, pem.as_bytes()).unwrap();
        client.version().await
    };
    ask(&shown.cert.pem()).await.unwrap();
    let refused = ask(&another.cert.pem()).await;
    assert!(
        matches!(refused, Err(api::ClientError::Unreachable { .. })),
        "{refused:?}"
    );
    let none = api::ClientConfig {
        url: "https://127.0.0.1".to_owned(),
        token: None,
        user_agent: "test".to_owned(),
    };
    let none = api::Client::new_trusting_only(none, b"junk").unwrap_err();
    assert!(matches!(none, api::ClientError::Certificate { .. }), "{none:?}");
}

#[tokio::test]
async fn what_cannot_be_served_is_told_before_a_port_opens() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let open = || Tls::open(files.clone()).map(drop).unwrap_err();
    assert!(matches!(open(), TlsError::Read { .. }));
    put(&files, &certificate());
    fs::write(&files.key, certificate().signing_key.serialize_pem()).unwrap();
    assert!(matches!(open(), TlsError::Pair { .. }));
    fs::write(&files.key, "").unwrap();
    assert!(matches!(open(), TlsError::Pem { .. }));
    put(&files, &certificate());
    fs::write(&files.certificate, "").unwrap();
    assert!(matches!(open(), TlsError::Empty(_)));
}

#[tokio::test]
async fn plain_http_gets_nothing_at_a_tls_port() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    put(&files, &certificate());
    let tls = Tls::open(files).unwrap();
    let served = Served::behind(|listener| Door {
        listener,
        tls: Some(tls),
        edges: Edges::default(),
    })
    .await;
    let mut stream = served.connect().await;
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    // A broken connection tells as little as a closed one.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
}
