//! Whom a client command trusts at an https:// address, and who it is there.

use std::error::Error;
use std::io;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::args::{ConnectionArgs, TlsArgs};
use super::failure::Failure;

/// How to speak TLS; nothing for an http:// address.
///
/// # Errors
/// Something is missing, or a file is not what it should be.
pub fn client_tls(args: &ConnectionArgs) -> Result<Option<ClientTlsConfig>, Failure> {
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
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authorities(ca)?)).timeout(args.timeout);
    if let (Some(cert), Some(key)) = (tls_cert, tls_key) {
        let (cert_pem, key_pem) = (read("--tls-cert", cert)?, read("--tls-key", key)?);
        certificates("--tls-cert", cert, &cert_pem)?;
        PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| bad("--tls-key", key, &error.to_string()))?;
        tls = tls.identity(Identity::from_pem(cert_pem, key_pem));
    }
    Ok(Some(tls))
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

/// The bytes of a file in which each certificate can be an authority: those that cannot would be passed over in silence.
fn authorities(file: &Path) -> Result<Vec<u8>, Failure> {
    let pem = read("--tls-ca", file)?;
    let mut roots = RootCertStore::empty();
    let all = certificates("--tls-ca", file, &pem)?;
    let many = all.len();
    let (good, _) = roots.add_parsable_certificates(all);
    if good == 0 {
        return Err(bad("--tls-ca", file, &format!("none of its {many} certificates can be an authority")));
    }
    Ok(pem)
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
