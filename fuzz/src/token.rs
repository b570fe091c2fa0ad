//! Signed tokens, and the key sets that they are checked with.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use tasktally::access::jwks::KeySet;
use tasktally::access::jwt::{Claim, Expected, is_like_one, verify};
use tasktally::access::{Role, Scope, book};
use tasktally::limits;
use tasktally::pipeline::{Caller, Roles};

use super::access::complaint;
use super::data::{Bytes, NOW};

const ISSUER: &str = "https://issuer";
const AUDIENCE: &str = "tally";

pub fn expected() -> Expected {
    let claim = |text| Claim::new(text).expect("a claim");
    Expected {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        account_claim: claim("account"),
        roles_claim: claim("/realm/roles"),
    }
}

/// Two keys that are in the set, and one that is not.
fn key(number: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[number % 3 + 1; 32]).expect("any 32 bytes are a key")
}

fn jwk(number: u8, id: &str) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": URL_SAFE_NO_PAD.encode(key(number).public_key())})
}

pub fn key_set() -> String {
    json!({"keys": [jwk(0, "k0"), jwk(1, "k1")]}).to_string()
}

fn signed(number: u8, header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = key(number).sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

pub const HEADER: &str = r#"{"alg":"EdDSA","kid":"k0"}"#;

pub fn claims() -> String {
    let exp = NOW.0 / 1000 + 60;
    format!(r#"{{"iss":"{ISSUER}","aud":["x","{AUDIENCE}"],"exp":{exp},"account":"all","realm":{{"roles":["read"]}}}}"#)
}

/// The token that a gate with [`key_set`] takes.
pub fn good() -> &'static str {
    static GOOD: OnceLock<String> = OnceLock::new();
    GOOD.get_or_init(|| signed(0, HEADER.as_bytes(), claims().as_bytes()))
}

fn keys() -> &'static KeySet {
    static KEYS: OnceLock<KeySet> = OnceLock::new();
    KEYS.get_or_init(|| KeySet::parse(&key_set()).unwrap_or_else(|fault| panic!("{fault:?}")))
}

/// A header and claims of any bytes under a good signature, or under one of an unknown key: taken if and only if all that
/// must hold does. Without a good signature nothing is.
pub fn jwt(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input)
        && is_like_one(text)
        && text != good()
    {
        assert!(verify(text, keys(), &expected(), NOW).is_err(), "nobody signed {text}");
    }
    let mut bytes = Bytes(input);
    let number = bytes.byte() % 3;
    let (header, claims) = (bytes.prefixed(), bytes.0);
    let token = signed(number, header, claims);
    assert!(is_like_one(&token));
    let found = verify(&token, keys(), &expected(), NOW).ok().map(|admitted| admitted.caller);
    assert_eq!(found, must_be(number, header, claims), "{}", String::from_utf8_lossy(claims));
}

/// Whom such a token is of, read in another way.
fn must_be(number: u8, header: &[u8], claims: &[u8]) -> Option<Caller> {
    let object = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok().filter(Value::is_object);
    let (header, claims) = (object(header)?, object(claims)?);
    let known = number < 2 && header["kid"] == format!("k{number}");
    if !known || header["alg"] != "EdDSA" || header.get("crit").is_some() {
        return None;
    }
    // In milliseconds, with the leeway on either side; a moment may be any number that JSON can write.
    let leeway = limits::JWT_LEEWAY.as_millis() as i128;
    let moment =
        |name: &str, leeway: i128| claims[name].as_f64().map(|at| ((at * 1000.0) as i128).saturating_add(leeway));
    let is_in_time = moment("exp", leeway)? > i128::from(NOW.0)
        && (claims.get("nbf").is_none() || moment("nbf", -leeway)? <= i128::from(NOW.0));
    let audience = &claims["aud"];
    let is_for_us = audience == AUDIENCE || audience.as_array().is_some_and(|all| all.contains(&AUDIENCE.into()));
    if !is_in_time || !is_for_us || claims["iss"] != ISSUER {
        return None;
    }
    let scope: Scope = book::scope(claims["account"].as_str()?).ok()?;
    let names: Vec<&str> = match claims.pointer("/realm/roles") {
        None => Vec::new(),
        Some(Value::String(words)) => words.split_ascii_whitespace().collect(),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        Some(_) => return None,
    };
    let roles: Roles = Role::ALL.into_iter().filter(|role| names.contains(&role.name())).collect();
    Some(Caller { scope, roles })
}

/// A key set of any text is refused with a reason, or holds keys that take no rubbish; and with one key more, what that
/// key signed is taken, which it was not before.
pub fn jwks(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let set = match KeySet::parse(text) {
        Err(fault) => return complaint(text, &fault),
        Ok(set) => set,
    };
    assert!((1..=limits::JWKS_KEYS).contains(&set.len()));
    let mut document: Value = serde_json::from_str(text).expect("JSON that was just read");
    let all = document["keys"].as_array_mut().expect("a list that was just read");
    assert!(set.len() <= all.len());
    for entry in all.iter() {
        assert!(entry.get("d").is_none() && entry.get("k").is_none(), "a private key is taken");
        for algorithm in ["RS256", "ES256", "EdDSA", "HS256", "none"] {
            let Some(key) = set.find(entry["kid"].as_str(), algorithm) else { continue };
            assert_eq!(key.algorithm(), algorithm);
            let rubbish: Vec<u8> = (1..=text.len().clamp(64, 256)).map(|n| (n * 37) as u8).collect();
            assert!(!key.has_signed(b"a message", &rubbish) && !key.has_signed(b"", b""));
        }
    }
    let id = "one-more";
    all.push(jwk(2, id));
    let token = signed(2, format!(r#"{{"alg":"EdDSA","kid":"{id}"}}"#).as_bytes(), claims().as_bytes());
    let is_taken = |set: &KeySet| verify(&token, set, &expected(), NOW).is_ok();
    assert!(!is_taken(&set), "by a key that is not there");
    match KeySet::parse(&document.to_string()) {
        Ok(more) => assert!(more.len() == set.len() + 1 && is_taken(&more)),
        Err(_) => assert!(set.len() == limits::JWKS_KEYS || set.find(Some(id), "EdDSA").is_some()),
    }
}
