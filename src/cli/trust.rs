//! Whom a client command trusts at an https:// address, and who it is there.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::args::{ConnectionArgs, TlsArgs};
use super::failure::Failure;

/// What an https:// address is spoken to with: the files of the flags, read.
struct Files {
    ca_pem: Vec<u8>,
    roots: RootCertStore,
    own: Option<Own>,
}

struct Own {
    cert_pem: Vec<u8>,
    key_pem: Vec<u8>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// How to speak TLS; nothing for an http:// address.
///
/// # Errors
/// Something is missing, or a file is not what it should be.
pub fn client_tls(args: &ConnectionArgs) -> Result<Option<ClientTlsConfig>, Failure> {
    let Some(files) = read_all(args)? else { return Ok(None) };
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&files.ca_pem)).timeout(args.timeout);
    let Some(own) = &files.own else { return Ok(Some(tls)) };
    let tls = tls.identity(Identity::from_pem(&own.cert_pem, &own.key_pem));
    // The transport would say so too, and name no file.
    config(files).map_err(|error| match (&args.tls.tls_cert, &args.tls.tls_key) {
        (Some(cert), Some(key)) if matches!(error, rustls::Error::InconsistentKeys(_)) => {
            bad("--tls-key", key, &format!("it does not belong to the certificate in {} (--tls-cert)", cert.display()))
        }
        (Some(cert), Some(key)) => bad("--tls-key", key, &format!("with {}: {error}", cert.display())),
        _ => Failure::Usage(error.to_string()),
    })?;
    Ok(Some(tls))
}

/// How to shake hands without a transport on top; at an http:// address with nobody to trust.
///
/// # Errors
/// As of [`client_tls`].
pub fn handshake(args: &ConnectionArgs) -> Result<ClientConfig, Failure> {
    let nobody = || Files { ca_pem: Vec::new(), roots: RootCertStore::empty(), own: None };
    let files = read_all(args)?.unwrap_or_else(nobody);
    config(files).map_err(|error| Failure::Usage(error.to_string()))
}

fn config(files: Files) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_root_certificates(files.roots);
    let mut config = match files.own {
        Some(own) => builder.with_client_auth_cert(own.chain, own.key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn read_all(args: &ConnectionArgs) -> Result<Option<Files>, Failure> {
    let TlsArgs { tls_ca, tls_cert, tls_key } = &args.tls;
    if !args.address.starts_with("https://") {
        let given = [(tls_ca, "--tls-ca"), (tls_cert, "--tls-cert"), (tls_key, "--tls-key")];
        return match given.iter().find(|(file, _)| file.is_some()) {
            Some((_, flag)) => {
                Err(Failure::Usage(format!("{flag} is for https://, and --address is {}", args.address)))
            }
            None => Ok(None),
        };
    }
    let Some(ca) = tls_ca else {
        return Err(Failure::Usage(format!(
            "{} needs --tls-ca FILE: the authorities that may have signed the server's certificate; none are built in",
            args.address
        )));
    };
    let (ca_pem, roots) = authorities(ca)?;
    let own = match (tls_cert, tls_key) {
        (Some(cert), Some(key)) => {
            let (cert_pem, key_pem) = (read("--tls-cert", cert)?, read("--tls-key", key)?);
            let chain = certificates("--tls-cert", cert, &cert_pem)?;
            let parsed = PrivateKeyDer::from_pem_slice(&key_pem);
            let parsed = parsed.map_err(|error| bad("--tls-key", key, &error.to_string()))?;
            Some(Own { cert_pem, key_pem, chain, key: parsed })
        }
        _ => None,
    };
    Ok(Some(Files { ca_pem, roots, own }))
}

/// An error of the transport with its causes: its own text is "transport error" and no more.
pub fn explain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The bytes of a file in which each certificate can be an authority, and these: those that cannot would be passed over in silence.
fn authorities(file: &Path) -> Result<(Vec<u8>, RootCertStore), Failure> {
    let pem = read("--tls-ca", file)?;
    let mut roots = RootCertStore::empty();
    let all = certificates("--tls-ca", file, &pem)?;
    let many = all.len();
    let (good, _) = roots.add_parsable_certificates(all);
    if good == 0 {
        return Err(bad("--tls-ca", file, &format!("none of its {many} certificates can be an authority")));
    }
    Ok((pem, roots))
}

fn certificates(flag: &str, file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|error| bad(flag, file, &error.to_string()))?;
    if all.is_empty() { Err(bad(flag, file, "it holds no certificate: no BEGIN CERTIFICATE in it")) } else { Ok(all) }
}

fn read(flag: &str, file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| Failure::local(format!("{flag} {}", file.display()), error))
}

fn bad(flag: &str, file: &Path, why: &str) -> Failure {
    let error = io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    Failure::local(format!("{flag} {}", file.display()), error)
}
