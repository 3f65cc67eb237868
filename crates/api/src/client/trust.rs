//! Whose certificate is good enough.
//!
//! Usually one that the system's authorities vouch for. A program on the server's own machine has something better: the
//! file that the server shows. It need not be vouched for, and the names in it need not fit the address that is asked.

use std::sync::Arc;

use reqwest::ClientBuilder;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

use super::ClientError;

/// Whose certificate is good enough.
#[derive(Debug, Clone)]
pub(super) enum Trust {
    /// One that the system's authorities vouch for.
    System,
    /// This one, whatever it says.
    Only(CertificateDer<'static>),
}

impl Trust {
    /// The first certificate of a PEM file, which is the server's own.
    pub(super) fn only(pem: &[u8]) -> Result<Self, ClientError> {
        let certificate = CertificateDer::from_pem_slice(pem);
        certificate
            .map(Self::Only)
            .map_err(|source| ClientError::Certificate { source })
    }

    pub(super) fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder, ClientError> {
        let Self::Only(certificate) = self else {
            return Ok(builder);
        };
        let provider = Arc::new(ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|source| ClientError::Tls { source })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Only {
                certificate: certificate.clone(),
                provider,
            }))
            .with_no_client_auth();
        Ok(builder.tls_backend_preconfigured(config))
    }
}

/// Takes one certificate. That the server has its key is verified as ever.
#[derive(Debug)]
struct Only {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match *end_entity == self.certificate {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
