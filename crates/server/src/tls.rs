//! TLS for the listener: certificate and key from PEM files, taken anew when they change.
//!
//! The files are looked at once a second. What cannot be used is told in the log and changes nothing: the certificate that
//! was served before goes on. A renewal that replaces the two files one after the other is met in between with two that
//! do not belong together, and is taken at the next look.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use control::chain;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at: two `stat` calls.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the router behind it speaks (RFC 7301).
const HTTP_1_1: &[u8] = b"http/1.1";

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is not there or not readable.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not PEM.
    #[error("{} is not a PEM file of the right kind", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: pem::Error,
    },
    /// The file is PEM and holds no certificate.
    #[error("{} holds no certificate; it must begin with the server's own, then its issuers'", .0.display())]
    Empty(PathBuf),
    /// Certificate and key cannot be used together.
    #[error("the certificate {} and the key {} cannot be used together", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
    /// The protocol cannot be set up.
    #[error("TLS cannot be set up")]
    Protocol(#[source] rustls::Error),
}

/// Where certificate and key lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those of its issuers, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// A certificate that is served and looked after.
pub struct Tls {
    files: TlsFiles,
    stamps: Stamps,
    provider: Arc<CryptoProvider>,
    served: Arc<Served>,
    acceptor: TlsAcceptor,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// They cannot be read or used.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let stamps = Stamps::of(&files);
        let served = Arc::new(Served(RwLock::new(Arc::new(load(&files, &provider)?))));
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Protocol)?
            .with_no_client_auth()
            .with_cert_resolver(served.clone());
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(Self {
            files,
            stamps,
            provider,
            served,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Looks after the files for ever.
    pub(crate) async fn look_after(mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look();
        }
    }

    fn look(&mut self) {
        // Taken before reading: what is written meanwhile makes the next look read again.
        let stamps = Stamps::of(&self.files);
        if stamps == self.stamps {
            return;
        }
        self.stamps = stamps;
        let certificate = self.files.certificate.display();
        match load(&self.files, &self.provider) {
            Ok(key) => {
                self.served.put(key);
                tracing::info!(tls.certificate = %certificate, "a new certificate is served");
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(tls.certificate = %certificate, error, "a changed certificate cannot be used; the old one goes on");
            }
        }
    }
}

/// The certificate of new connections.
#[derive(Debug)]
struct Served(RwLock<Arc<CertifiedKey>>);

impl Served {
    fn put(&self, key: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// What tells that a file is another than before: where it lies, how long it is and when it was written.
type Stamp = (u64, u64, u64, i64, i64);

/// The stamps of certificate and key.
#[derive(PartialEq, Eq)]
struct Stamps([Option<Stamp>; 2]);

impl Stamps {
    fn of(files: &TlsFiles) -> Self {
        let stamp = |path: &Path| {
            let meta = fs::metadata(path).ok()?;
            Some((
                meta.dev(),
                meta.ino(),
                meta.size(),
                meta.mtime(),
                meta.mtime_nsec(),
            ))
        };
        Self([stamp(&files.certificate), stamp(&files.key)])
    }
}

fn load(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_slice_iter(&read(&files.certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(not_pem(&files.certificate))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(files.certificate.clone()));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(not_pem(&files.key))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|source| TlsError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

fn not_pem(path: &Path) -> impl Fn(pem::Error) -> TlsError {
    move |source| TlsError::Pem {
        path: path.to_owned(),
        source,
    }
}
