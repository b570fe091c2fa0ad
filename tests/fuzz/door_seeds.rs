//! Seeds of what stands at the door: credentials, key sets, tokens, headers; and of settings and of a backup's stream.

use serde_json::json;
use tasktally::access::{book::Book, jwks::KeySet};

use super::mint::{Signer, set};
use super::seeds::{Seed, prefixed};
use super::targets::{access, backup, token};

const PHC: &str = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$2LpA5nTcGJ4wFb8C4R1d0pB4bhNbWDMS1GfTk4wJ0wQ";

pub fn all() -> Vec<Seed> {
    let mut seeds = files();
    seeds.extend(shown());
    seeds.extend(tokens());
    seeds.extend(others());
    seeds
}

fn files() -> Vec<Seed> {
    let people = [
        "# people\n".to_owned(),
        access::entry("a", "all", &access::sha256("tt_a")),
        access::entry("b", "AC000000000000000000000000000000aa", &format!("argon2 = '{PHC}'")),
        access::entry("c", "all", "certificate = \"dns:Pump.Example\""),
        access::entry("d", "all", "certificate = \"uri:spiffe://example/pump\""),
    ];
    let inline =
        "credential = [{name = 'a', account = 'all', roles = ['read', 'ingest', 'admin'], certificate = 'email:a@b'}]";
    let misplaced = access::entry("a", "all", "sha256 = \"hunter 2!\"");
    // The keys of those that are made anew each time are left as they were written first.
    let keys = [
        Signer::rsa().jwk("r"),
        json!({"kty": "EC", "crv": "P-256", "kid": "e", "use": "sig",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}),
    ];
    let others = [
        json!({"kty": "oct", "kid": "x"}),
        json!({"kty": "OKP", "crv": "X25519", "x": ""}),
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
    ];
    assert!([&people.concat(), inline].into_iter().all(|text| Book::parse(text).is_ok()));
    assert!([set(&keys), set(&others)].into_iter().all(|text| KeySet::parse(&text).is_ok()));
    vec![
        ("credentials", "four-kinds", people.concat().into_bytes()),
        ("credentials", "inline", inline.into()),
        ("credentials", "secret-in-a-wrong-place", misplaced.into_bytes()),
        ("jwks", "two", token::key_set().into_bytes()),
        ("jwks", "rsa-and-p256", set(&keys).into_bytes()),
        ("jwks", "some-are-for-others", set(&others).into_bytes()),
        ("jwks", "private", br#"{"keys":[{"kty":"oct","k":"AA"}]}"#.to_vec()),
    ]
}

fn shown() -> Vec<Seed> {
    let of = |which: u8, rest: &[u8]| [&[which], rest].concat();
    let certificate = rcgen_certificate();
    vec![
        ("shown", "header", of(0, b"Bearer tt_pump")),
        ("shown", "two-headers", of(1, &[prefixed(b"Bearer tt_pump"), b"Bearer tt_pump".to_vec()].concat())),
        ("shown", "bearer", of(2, access::TOKENS[1].0.as_bytes())),
        ("shown", "signed", of(2, token::good().as_bytes())),
        ("shown", "basic", of(3, b"AC000000000000000000000000000000aa:tt:board")),
        ("shown", "basic-of-another", of(3, b"AC000000000000000000000000000000bb:tt:board")),
        ("shown", "certificate", of(4, &certificate)),
    ]
}

/// Self-signed, for three names.
fn rcgen_certificate() -> Vec<u8> {
    let names = [access::CERTIFICATE.to_owned(), "Other.Example".to_owned(), "10.0.0.1".to_owned()];
    rcgen::generate_simple_self_signed(names).unwrap().cert.der().to_vec()
}

fn tokens() -> Vec<Seed> {
    let of = |key: u8, header: &str, claims: &str| [vec![key], prefixed(header.as_bytes()), claims.into()].concat();
    let claims = token::claims();
    vec![
        ("jwt", "good", of(0, token::HEADER, &claims)),
        ("jwt", "unknown-key", of(2, token::HEADER, &claims)),
        ("jwt", "other-key", of(1, token::HEADER, &claims)),
        ("jwt", "none", of(0, r#"{"alg":"none","kid":"k0"}"#, &claims)),
        ("jwt", "roles-as-words", of(0, token::HEADER, &claims.replace(r#"["read"]"#, r#""admin ingest""#))),
        ("jwt", "other-claims", of(0, token::HEADER, &claims.replace(r#""exp""#, r#""nbf":1.5,"exp""#))),
        ("jwt", "text", token::good().into()),
    ]
}

fn others() -> Vec<Seed> {
    let frames = [backup::frame(1, &[0; 32]), backup::frame(5, &[])].concat();
    vec![
        ("settings", "bytes", b"64 KiB".to_vec()),
        ("settings", "duration", b"1h 30min".to_vec()),
        ("settings", "address", b"https://[::1]:50051/".to_vec()),
        ("settings", "moment", b"2026-01-31T08:00:00.5+01:00".to_vec()),
        ("backup", "raw", [&[0, 0][..], &frames].concat()),
        ("backup", "sound", vec![2, 200]),
        ("backup", "patched", vec![2, 3, 0, 0, 3, 9, 2, 7, 7, 1]),
        // Of the start, of a gap and of a row, one of its numbers is the largest there is.
        ("backup", "end-beyond", [&[2, 200, 3, 8, 8][..], &[255; 8]].concat()),
        ("backup", "gap-beyond", [&[2, 200, 0, 3, 8, 8][..], &[255; 8]].concat()),
        ("backup", "gap-at-the-end", [&[2, 200, 0, 3, 0, 8][..], &[255; 8]].concat()),
        ("backup", "row-beyond", [&[2, 200, 0, 0, 3, 0, 8][..], &[255; 8]].concat()),
        ("backup", "row-of-all-events", [&[2, 200, 0, 0, 3, 8, 8][..], &[255; 8]].concat()),
        ("backup", "row-twice", vec![2, 200, 0, 0, 2]),
        ("backup", "row-missing", vec![2, 200, 0, 0, 1]),
        ("backup", "frames", [&[1, 9, 1][..], &prefixed(&[2; 32]), &[5], &prefixed(&[])].concat()),
    ]
}
