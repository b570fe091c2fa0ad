//! The keys that signed tokens are checked with: a JWK set (RFC 7517), of which the keys for RS256, ES256 and EdDSA count.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256};
use ring::signature::{RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::Fault;
use crate::limits;

/// What ring's RS256 takes.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// The keys of one file.
#[derive(Default)]
pub struct KeySet {
    keys: Vec<Arc<Key>>,
}

pub struct Key {
    id: Option<Box<str>>,
    material: Material,
    /// Cancelled when a later file no longer has exactly this.
    pub(super) taken_away: CancellationToken,
}

#[derive(PartialEq, Eq)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256 { point: Vec<u8> },
    Ed25519 { point: Vec<u8> },
}

impl Key {
    /// The one algorithm that the key is for, whatever a token says.
    pub fn algorithm(&self) -> &'static str {
        match self.material {
            Material::Rsa { .. } => "RS256",
            Material::P256 { .. } => "ES256",
            Material::Ed25519 { .. } => "EdDSA",
        }
    }

    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let checked =
            match &self.material {
                Material::Rsa { modulus, exponent } => RsaPublicKeyComponents { n: &modulus[..], e: &exponent[..] }
                    .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
                Material::P256 { point } => {
                    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
                }
                Material::Ed25519 { point } => UnparsedPublicKey::new(&ED25519, point).verify(message, signature),
            };
        checked.is_ok()
    }
}

impl KeySet {
    /// Reads a JWK set. Keys for other purposes and algorithms are passed over, as the RFC has it.
    ///
    /// # Errors
    /// It is no JWK set, a key that counts is malformed or twice there, or no key counts.
    pub fn parse(text: &str) -> Result<KeySet, Fault> {
        let document: Value = serde_json::from_str(text).map_err(|error| {
            let what = format!("not JSON: {:?} error in column {}", error.classify(), error.column());
            Fault { line: error.line().max(1), what }
        })?;
        // JSON has no places once it is read: the complaints below name the key.
        let fault = |what: String| Fault { line: 1, what };
        let list = document.get("keys").and_then(Value::as_array);
        let list = list.ok_or_else(|| fault("not a JWK set: no list named keys".to_owned()))?;
        let mut set = KeySet::default();
        for (number, entry) in list.iter().enumerate() {
            let of_key = |what: String| fault(format!("key {} of the set: {what}", number + 1));
            let fields = entry.as_object().ok_or_else(|| of_key("is no object".to_owned()))?;
            let Some(key) = key(fields).map_err(of_key)? else { continue };
            if set.keys.iter().any(|other| other.id == key.id && other.algorithm() == key.algorithm()) {
                return Err(of_key("has the kid and the algorithm of an earlier one".to_owned()));
            }
            if set.keys.len() == limits::JWKS_KEYS {
                return Err(of_key(format!("is one more than the {} that are taken", limits::JWKS_KEYS)));
            }
            set.keys.push(Arc::new(key));
        }
        if set.keys.is_empty() {
            return Err(fault("no key for RS256, ES256 or EdDSA is in the set".to_owned()));
        }
        Ok(set)
    }

    /// The key that a token with this header must be signed by. A token without a kid names a key only where one alone
    /// is of its algorithm.
    pub fn find(&self, id: Option<&str>, algorithm: &str) -> Option<&Key> {
        let mut fitting = self.keys.iter().filter(|key| key.algorithm() == algorithm);
        match id {
            Some(id) => fitting.find(|key| key.id.as_deref() == Some(id)).map(|key| &**key),
            None => {
                let only = fitting.next()?;
                fitting.next().is_none().then_some(&**only)
            }
        }
    }

    /// As this set, with what was begun under keys that `old` had too still going on; and what is to be cancelled of those
    /// that are gone, once nobody finds them any more.
    pub(super) fn after(mut self, old: &KeySet) -> (KeySet, Vec<CancellationToken>) {
        for new in &mut self.keys {
            let same = old.keys.iter().find(|old| old.id == new.id && old.material == new.material);
            if let Some(same) = same {
                *new = same.clone();
            }
        }
        let gone = old.keys.iter().filter(|old| !self.keys.iter().any(|new| Arc::ptr_eq(old, new)));
        let ends = gone.map(|gone| gone.taken_away.clone()).collect();
        (self, ends)
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// The key, unless it is for something else.
fn key(fields: &Map<String, Value>) -> Result<Option<Key>, String> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    if fields.contains_key("d") || fields.contains_key("k") {
        return Err("holds a private or a shared key; the file must hold public keys only".to_owned());
    }
    if text("use").is_some_and(|what| what != "sig") {
        return Ok(None);
    }
    let bytes = |name: &str| {
        let decoded = text(name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        decoded.ok_or_else(|| format!("{name} is missing or no base64url"))
    };
    let (algorithm, material) = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => {
            let (modulus, exponent) = (bytes("n")?, bytes("e")?);
            let modulus: Vec<u8> = modulus.into_iter().skip_while(|byte| *byte == 0).collect();
            if !RSA_BYTES.contains(&modulus.len()) || exponent.is_empty() {
                return Err("an RSA key must have 2048 to 8192 bits".to_owned());
            }
            ("RS256", Material::Rsa { modulus, exponent })
        }
        (Some("EC"), Some("P-256")) => {
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != 32 || y.len() != 32 {
                return Err("x and y of a P-256 key have 32 bytes each".to_owned());
            }
            // 4: neither coordinate is left out.
            ("ES256", Material::P256 { point: [&[4][..], &x, &y].concat() })
        }
        (Some("OKP"), Some("Ed25519")) => {
            let point = bytes("x")?;
            if point.len() != 32 {
                return Err("x of an Ed25519 key has 32 bytes".to_owned());
            }
            ("EdDSA", Material::Ed25519 { point })
        }
        (Some(_), _) => return Ok(None),
        (None, _) => return Err("kty is missing".to_owned()),
    };
    if text("alg").is_some_and(|alg| alg != algorithm && !(alg == "Ed25519" && algorithm == "EdDSA")) {
        return Ok(None);
    }
    let id = text("kid").map(Box::from);
    Ok(Some(Key { id, material, taken_away: CancellationToken::new() }))
}
