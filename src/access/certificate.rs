//! The names in a client's certificate, as the credentials file writes them.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// `dns:`, `uri:` and `email:` names of the certificate's SAN, in its order; the subject is not looked at. Empty where
/// there are none, or the bytes are no certificate.
pub fn names(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Vec::new() };
    let Ok(Some(san)) = certificate.subject_alternative_name() else { return Vec::new() };
    san.value.general_names.iter().filter_map(name).collect()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        // Host names compare without regard to case.
        GeneralName::DNSName(host) => Some(format!("dns:{}", host.to_ascii_lowercase())),
        GeneralName::URI(uri) => Some(format!("uri:{uri}")),
        GeneralName::RFC822Name(address) => Some(format!("email:{address}")),
        _ => None,
    }
}

/// A name as the credentials file has it, in the form that [`names`] gives.
pub fn expected(text: &str) -> Option<String> {
    let (kind, rest) = text.split_once(':')?;
    let is_whole = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic());
    match kind {
        "dns" if is_whole => Some(format!("dns:{}", rest.to_ascii_lowercase())),
        "uri" | "email" if is_whole => Some(text.to_owned()),
        _ => None,
    }
}
