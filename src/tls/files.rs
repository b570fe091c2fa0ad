//! From PEM files to a configuration of rustls, or to a sentence that says what is wrong with which of them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use xxhash_rust::xxh3::Xxh3Default;

use super::validity::Validity;
use crate::limits;

/// Where the server's identity is, and whom it asks for theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The server's certificate, then those that lead to an authority.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// The authorities of the clients' certificates; none are asked for without it.
    pub client_ca: Option<PathBuf>,
    /// Whether a client that shows no certificate is sent away.
    pub client_required: bool,
}

/// What is wrong with the files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("TLS: cannot read {}: {source}", .file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("TLS: {} has more than {} bytes; it cannot be a PEM file of keys or certificates", .file.display(), limits::TLS_FILE_BYTES)]
    TooLarge { file: PathBuf },
    #[error("TLS: {} is not PEM: {source}", .file.display())]
    Pem { file: PathBuf, source: pem::Error },
    #[error("TLS: {} holds no certificate: no BEGIN CERTIFICATE in it", .file.display())]
    NoCertificate { file: PathBuf },
    #[error("TLS: {} holds no private key: no BEGIN PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY in it", .file.display())]
    NoKey { file: PathBuf },
    #[error("TLS: certificate {number} in {} cannot be used: {why}", .file.display())]
    Certificate { file: PathBuf, number: usize, why: String },
    #[error("TLS: the key in {} does not belong to the certificate in {}", .key.display(), .cert.display())]
    KeyMismatch { key: PathBuf, cert: PathBuf },
    #[error("TLS: the key in {} with the certificate in {} cannot be used: {source}", .key.display(), .cert.display())]
    Identity { key: PathBuf, cert: PathBuf, source: rustls::Error },
    #[error("TLS: the authorities in {} cannot be used: {why}", .file.display())]
    Authorities { file: PathBuf, why: String },
    #[error("TLS: the certificate in {} has expired on {on}", .file.display())]
    Expired { file: PathBuf, on: String },
}

/// The bytes of the files at one moment. No part of it is ever printed.
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// A configuration that works, and until when.
pub(super) struct Built {
    pub config: Arc<ServerConfig>,
    pub validity: Validity,
}

impl Files {
    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        let client_ca = self.client_ca.as_deref().map(read).transpose()?;
        Ok(Contents { cert: read(&self.cert)?, key: read(&self.key)?, client_ca })
    }

    pub(super) fn build(&self, contents: &Contents) -> Result<Built, TlsError> {
        let chain = certificates(&self.cert, &contents.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|source| match source {
            pem::Error::NoItemsFound => TlsError::NoKey { file: self.key.clone() },
            source => TlsError::Pem { file: self.key.clone(), source },
        })?;
        let unusable = |why: String| TlsError::Certificate { file: self.cert.clone(), number: 1, why };
        let leaf = chain.first().ok_or_else(|| TlsError::NoCertificate { file: self.cert.clone() })?;
        let validity = Validity::of(leaf).map_err(unusable)?;

        let identity = |source| TlsError::Identity { key: self.key.clone(), cert: self.cert.clone(), source };
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(identity)?;
        let builder = match (&self.client_ca, &contents.client_ca) {
            (Some(file), Some(pem)) => {
                let authorities = |why: String| TlsError::Authorities { file: file.clone(), why };
                let roots = Arc::new(roots(file, pem)?);
                let provider = Arc::new(ring::default_provider());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = if self.client_required { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| authorities(error.to_string()))?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|source| match source {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::KeyMismatch { key: self.key.clone(), cert: self.cert.clone() }
            }
            source => identity(source),
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if self.client_ca.is_some() {
            // A resumed session shows no certificate again, and would outlive the one it was begun with.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Built { config: Arc::new(config), validity })
    }
}

impl Contents {
    /// Equal for equal contents. Kept between two looks in place of the key itself.
    pub fn fingerprint(&self) -> u128 {
        let mut hash = Xxh3Default::new();
        for part in [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()] {
            let part = part.map_or(&[][..], Vec::as_slice);
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.digest128()
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { file: file.to_owned(), source };
    let mut bytes = Vec::new();
    let most = limits::TLS_FILE_BYTES;
    File::open(file).map_err(failed)?.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(TlsError::TooLarge { file: file.to_owned() });
    }
    Ok(bytes)
}

/// The certificates of a file, of which there must be one.
fn certificates(file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|source| TlsError::Pem { file: file.to_owned(), source })?;
    if all.is_empty() {
        return Err(TlsError::NoCertificate { file: file.to_owned() });
    }
    Ok(all)
}

/// Each of them must be good: an authority that is passed over would lock its clients out without a word.
fn roots(file: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates(file, pem)?.into_iter().enumerate() {
        let unusable = |error: rustls::Error| TlsError::Certificate {
            file: file.to_owned(),
            number: index + 1,
            why: error.to_string(),
        };
        roots.add(certificate).map_err(unusable)?;
    }
    Ok(roots)
}
