//! Each thing for which a signed token is refused.

use serde_json::{Value, json};

use super::mint::{Signer, set, text};
use crate::access::jwks::KeySet;
use crate::access::jwt::{Claim, Expected, is_like_one, verify};
use crate::access::{Admitted, Denied};
use crate::event::{AccountSid, Millis};
use crate::limits;
use crate::pipeline::{Role, Roles, Scope};

const NOW: Millis = Millis(1_800_000_000_000);
const NOW_S: i64 = NOW.0 / 1000;
const ACCOUNT: &str = "AC000000000000000000000000000000aa";

fn expected() -> Expected {
    let claim = |text: &str| Claim::new(text).unwrap();
    Expected {
        issuer: "https://issuer.example".to_owned(),
        audience: "tasktally".to_owned(),
        account_claim: claim("account"),
        roles_claim: claim("/realm_access/roles"),
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": ["other", "tasktally"], "exp": NOW_S + 60, "nbf": NOW_S - 60,
        "account": ACCOUNT, "realm_access": {"roles": ["offline_access", "read"]},
    })
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(key);
    } else {
        claims[key] = value;
    }
    claims
}

fn keys(signer: &Signer) -> KeySet {
    KeySet::parse(&set(&[signer.jwk("one")])).unwrap()
}

fn checked(signer: &Signer, token: &str) -> Result<Admitted, Denied> {
    verify(token, &keys(signer), &expected(), NOW)
}

#[test]
fn tokens_of_each_algorithm_are_taken_and_say_who_calls() {
    for signer in [Signer::rsa(), Signer::p256(), Signer::ed25519()] {
        let admitted = checked(&signer, &signer.token("one", &claims())).unwrap();
        assert_eq!(admitted.caller.scope, Scope::Account(AccountSid::parse(ACCOUNT).unwrap()));
        assert_eq!(admitted.caller.roles, Roles::from_iter([Role::Read]), "roles of other programs are not ours");
        assert!(!admitted.lease.is_over());
        // A set with one key of the algorithm needs no kid.
        let without_kid = signer.sign(&json!({"alg": signer.algorithm()}), &claims());
        assert!(checked(&signer, &without_kid).is_ok());
        let all = with("account", json!("all"));
        assert_eq!(checked(&signer, &signer.token("one", &all)).unwrap().caller.scope, Scope::All);
        let words = with("realm_access", json!({"roles": "admin ingest"}));
        let roles = checked(&signer, &signer.token("one", &words)).unwrap().caller.roles;
        assert_eq!(roles, Roles::from_iter([Role::Ingest, Role::Admin]));
        let none = with("realm_access", Value::Null);
        assert!(checked(&signer, &signer.token("one", &none)).unwrap().caller.roles.is_empty());
    }
}

#[test]
fn claims_that_are_missing_wrong_or_of_another_type_are_refused() {
    let signer = Signer::ed25519();
    let far = NOW_S + 1_000_000;
    for (key, value) in [
        ("iss", Value::Null),
        ("iss", json!("https://issuer.example/")),
        ("iss", json!(["https://issuer.example"])),
        ("aud", Value::Null),
        ("aud", json!("other")),
        ("aud", json!([])),
        ("aud", json!({"tasktally": true})),
        ("exp", Value::Null),
        ("exp", json!(far.to_string())),
        ("exp", json!(true)),
        ("nbf", json!(NOW_S + 31)),
        ("nbf", json!("0")),
        ("account", Value::Null),
        ("account", json!("")),
        ("account", json!("WS000000000000000000000000000000aa")),
        ("account", json!([ACCOUNT])),
        ("realm_access", json!({"roles": 7})),
    ] {
        let refused = checked(&signer, &signer.token("one", &with(key, value.clone())));
        assert_eq!(refused.err(), Some(Denied::Wrong), "{key}: {value}");
    }
}

#[test]
fn a_token_ends_half_a_minute_after_its_time_by_our_clock() {
    let signer = Signer::p256();
    let ends = |at: f64| checked(&signer, &signer.token("one", &with("exp", json!(at)))).map(|_| ());
    assert_eq!(ends(NOW_S as f64 - 29.0), Ok(()));
    assert_eq!(ends(NOW_S as f64 - 29.5), Ok(()));
    assert_eq!(ends(NOW_S as f64 - 30.0), Err(Denied::Expired));
    assert_eq!(ends(-1e300), Err(Denied::Expired));
    assert_eq!(ends(1e300), Ok(()));
    assert!(checked(&signer, &signer.token("one", &with("nbf", json!(NOW_S + 30)))).is_ok());
}

/// The time on which streams wait; what the clock says meanwhile is another matter.
#[tokio::test(start_paused = true)]
async fn what_a_token_let_in_is_over_when_it_ends() {
    let signer = Signer::ed25519();
    let lease = checked(&signer, &signer.token("one", &with("exp", json!(NOW_S + 60)))).unwrap().lease;
    tokio::time::advance(std::time::Duration::from_secs(89)).await;
    assert!(!lease.is_over());
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    assert!(lease.is_over());
    lease.over().await;
}

#[test]
fn what_a_token_says_of_its_own_algorithm_and_key_is_not_believed() {
    let (signer, rsa) = (Signer::ed25519(), Signer::rsa());
    let refused = |token: &str| assert_eq!(checked(&signer, token).err(), Some(Denied::Wrong), "{token}");
    // Signed by somebody else, under a key that is known.
    refused(&Signer::ed25519().token("one", &claims()));
    for algorithm in ["none", "None", "HS256", "RS256", "ES256", "RS512", ""] {
        refused(&signer.sign(&json!({"alg": algorithm, "kid": "one"}), &claims()));
    }
    refused(&signer.sign(&json!({"kid": "one"}), &claims()));
    refused(&signer.sign(&json!({"alg": "EdDSA", "kid": "two"}), &claims()));
    refused(&signer.sign(&json!({"alg": "EdDSA", "kid": 1}), &claims()));
    refused(&signer.sign(&json!({"alg": "EdDSA", "kid": "one", "crit": ["exp"]}), &claims()));
    refused(&rsa.token("one", &claims()));
    // The public key as an HMAC secret: the classic.
    let signed = signer.token("one", &claims());
    let (message, signature) = signed.rsplit_once('.').unwrap();
    let mac = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"anything"), message.as_bytes());
    refused(&format!("{message}.{}", text(mac.as_ref())));
    refused(&format!("{message}."));
    refused(&format!("{message}.{signature}="));
    let (header, _) = message.split_once('.').unwrap();
    refused(&format!("{header}.{}.{signature}", text(with("account", json!("all")).to_string().as_bytes())));
    refused(&format!("{header}.{}.{signature}", text(b"[]")));
    for junk in ["..", "a.b.c", "e30.e30.e30"] {
        assert!(is_like_one(junk));
        refused(junk);
    }
    assert!(!is_like_one("a.b") && !is_like_one("a.b.c.d") && !is_like_one(""));
}

#[test]
fn a_token_without_kid_needs_a_set_with_one_key_of_its_algorithm() {
    let (one, two) = (Signer::p256(), Signer::p256());
    let both = KeySet::parse(&set(&[one.jwk("one"), two.jwk("two")])).unwrap();
    let token = one.sign(&json!({"alg": "ES256"}), &claims());
    assert_eq!(verify(&token, &both, &expected(), NOW).err(), Some(Denied::Wrong));
    assert!(verify(&two.token("two", &claims()), &both, &expected(), NOW).is_ok());
    assert_eq!(verify(&one.token("two", &claims()), &both, &expected(), NOW).err(), Some(Denied::Wrong));
}

#[test]
fn key_sets_are_read_strictly_and_pass_over_what_is_not_for_us() {
    let signer = Signer::ed25519();
    let changed = |key: &str, value: Value| {
        let mut jwk = signer.jwk("one");
        jwk[key] = value;
        jwk
    };
    let others = [
        json!({"kty": "RSA", "use": "enc", "n": "", "e": ""}),
        json!({"kty": "EC", "crv": "P-384", "x": "", "y": ""}),
        json!({"kty": "new"}),
        changed("use", json!("enc")),
        changed("alg", json!("ES256")),
    ];
    let set_of = |keys: &[Value]| KeySet::parse(&set(keys)).map(|set| set.len());
    assert_eq!(set_of(&[&others[..], &[signer.jwk("one")]].concat()), Ok(1));
    let many = |keys: usize| {
        let number = |n: usize| json!({"kty": "OKP", "crv": "Ed25519", "kid": n.to_string(), "x": text(&[7; 32])});
        set_of(&(0..keys).map(number).collect::<Vec<_>>())
    };
    assert_eq!(many(limits::JWKS_KEYS), Ok(limits::JWKS_KEYS));
    assert!(many(limits::JWKS_KEYS + 1).unwrap_err().what.contains("one more than the 64"));
    let short = json!({"kty": "RSA", "n": text(&[255; 128]), "e": "AQAB"});
    for (keys, complaint) in [
        (set(&others), "no key"),
        (set(&[]), "no key"),
        ("{}".to_owned(), "no list named keys"),
        ("{\n\"keys\": [\n".to_owned(), "not JSON"),
        (set(&[json!(1)]), "key 1 of the set: is no object"),
        (set(&[json!({})]), "kty is missing"),
        (set(&[short]), "2048"),
        (set(&[changed("x", json!("AAAA"))]), "32 bytes"),
        (set(&[changed("x", json!("§"))]), "no base64url"),
        (set(&[changed("d", json!("secret"))]), "private"),
        (set(&[json!({"kty": "oct", "k": "secret"})]), "shared"),
        (set(&[signer.jwk("one"), Signer::ed25519().jwk("one")]), "key 2 of the set: has the kid"),
    ] {
        let fault = KeySet::parse(&keys).map(|set| set.len()).unwrap_err();
        assert!(fault.what.contains(complaint) && !fault.what.contains("secret"), "{complaint}: {fault:?}");
    }
}
