//! New tokens.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

/// By which people and secret scanners know a token of ours.
const PREFIX: &str = "tt_";

/// A token of 256 random bits, and the SHA-256 that the credentials file holds. Not `Debug`.
pub struct NewToken {
    pub token: String,
    pub sha256: String,
}

/// The system has no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandom;

/// # Errors
/// The system has no random numbers.
pub fn new_token() -> Result<NewToken, NoRandom> {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandom)?;
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let sha256 = sha256(&token);
    Ok(NewToken { token, sha256 })
}

/// SHA-256 as bytes.
pub(super) fn digest_of(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    bytes
}

/// As the credentials file has it.
pub fn sha256(token: &str) -> String {
    digest_of(token).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
