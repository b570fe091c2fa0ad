//! The gate: what is shown, whose it is, and what reloads do.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use tempfile::TempDir;

use super::mint::{Signer, set};
use crate::access::{Checked, Denied, Gate, Settings, Verdict, issue};
use crate::event::{AccountSid, Millis};
use crate::limits;
use crate::pipeline::{Clock, Role, Scope};

const ACCOUNT: &str = "AC000000000000000000000000000000aa";
const OTHER: &str = "AC000000000000000000000000000000bb";
/// Of `correct horse`, made cheap for tests.
const CHEAP: &str = "$argon2id$v=19$m=64,t=1,p=1$";

struct Still;

impl Clock for Still {
    fn now(&self) -> Millis {
        Millis(1_800_000_000_000)
    }
}

struct Scene {
    _dir: TempDir,
    file: PathBuf,
    gate: Gate,
}

impl Scene {
    fn with(text: &str) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("credentials.toml");
        fs::write(&file, text).unwrap();
        let settings = Settings { credentials: Some(file.clone()), jwt: None };
        Scene { _dir: dir, file, gate: Gate::open(settings, Arc::new(Still)).unwrap() }
    }
}

fn entry(name: &str, account: &str, proof: &str) -> String {
    format!("[[credential]]\nname = \"{name}\"\naccount = \"{account}\"\nroles = [\"read\"]\n{proof}\n")
}

fn phc(secret: &str) -> String {
    let phc = phc_of(secret, 64);
    assert!(phc.contains(CHEAP));
    phc
}

/// Checked with so much memory.
fn phc_of(secret: &str, kib: u32) -> String {
    use argon2::PasswordHasher as _;
    let params = argon2::Params::new(kib, 1, 1, None).unwrap();
    let hash = argon2::Argon2::from(params).hash_password_with_salt(secret.as_bytes(), b"saltsaltsalt").unwrap();
    format!("argon2 = \"{hash}\"")
}

fn header(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
}

fn basic(user: &str, token: &str) -> HeaderMap {
    header(&format!("Basic {}", STANDARD.encode(format!("{user}:{token}"))))
}

fn bearer(token: &str) -> HeaderMap {
    header(&format!("Bearer {token}"))
}

fn now(checked: Checked) -> Verdict {
    match checked {
        Checked::Now(verdict) => verdict,
        Checked::Later(_) => panic!("this should need no slow check"),
    }
}

async fn settled(checked: Checked) -> Verdict {
    match checked {
        Checked::Now(verdict) => verdict,
        Checked::Later(verdict) => verdict.await,
    }
}

#[test]
fn a_token_is_taken_as_bearer_and_as_basic_and_its_user_may_name_an_account() {
    let (all, one) = (issue::new_token().unwrap(), issue::new_token().unwrap());
    let sum = |token: &issue::NewToken| format!("sha256 = \"{}\"", token.sha256);
    let scene = Scene::with(&(entry("all", "all", &sum(&all)) + &entry("one", ACCOUNT, &sum(&one))));
    let scope = |headers: &HeaderMap| now(scene.gate.check(headers, None)).map(|admitted| admitted.caller.scope);
    let account = |text: &str| Scope::Account(AccountSid::parse(text).unwrap());
    assert_eq!(scope(&bearer(&all.token)), Ok(Scope::All));
    assert_eq!(scope(&bearer(&one.token)), Ok(account(ACCOUNT)));
    for user in ["one", "anybody", "", "AC12"] {
        assert_eq!(scope(&basic(user, &all.token)), Ok(Scope::All), "{user}");
        assert_eq!(scope(&basic(user, &one.token)), Ok(account(ACCOUNT)), "{user}");
    }
    assert_eq!(scope(&basic(OTHER, &all.token)), Ok(account(OTHER)), "narrowed");
    assert_eq!(scope(&basic(ACCOUNT, &one.token)), Ok(account(ACCOUNT)));
    assert_eq!(scope(&basic(OTHER, &one.token)), Err(Denied::Wrong));
    assert_eq!(scope(&HeaderMap::new()), Err(Denied::Missing));
    for wrong in [bearer("tt_"), bearer(&all.sha256), basic(&all.token, ""), header("Bearer"), header("Digest x")] {
        assert_eq!(scope(&wrong), Err(Denied::Wrong), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_slow_secret_is_checked_once_and_then_known_until_it_is_taken_away() {
    let text = entry("person", "all", &phc("correct horse")) + &entry("other", ACCOUNT, &phc("battery"));
    let scene = Scene::with(&text);
    let right = basic("person", "correct horse");
    let first = scene.gate.check(&right, None);
    assert!(matches!(first, Checked::Later(_)), "it is slow");
    assert!(settled(first).await.unwrap().caller.may(Role::Read));
    assert!(now(scene.gate.check(&right, None)).is_ok(), "it is known");
    // Without the name all are tried, in the order of the file.
    assert!(settled(scene.gate.check(&bearer("battery"), None)).await.is_ok());
    // The name of another credential is a claim, too.
    assert_eq!(settled(scene.gate.check(&basic("other", "correct horse"), None)).await.unwrap_err(), Denied::Wrong);
    let gone = entry("other", ACCOUNT, &phc("battery"));
    reload(&scene, &gone);
    assert_eq!(settled(scene.gate.check(&bearer("correct horse"), None)).await.unwrap_err(), Denied::Wrong);
}

#[tokio::test]
async fn wrong_slow_secrets_wait_in_a_bounded_queue_and_the_next_is_told_to_come_back() {
    let scene = Scene::with(&entry("person", "all", &phc("correct horse")));
    let mut waiting = Vec::new();
    for number in 0..limits::ARGON2_WAITING {
        waiting.push(scene.gate.check(&bearer(&format!("wrong {number}")), None));
    }
    assert!(waiting.iter().all(|checked| matches!(checked, Checked::Later(_))));
    let most_waiting = limits::ARGON2_WAITING;
    let busy = now(scene.gate.check(&bearer("correct horse"), None)).unwrap_err();
    assert_eq!(busy, Denied::Busy { most_waiting, retry_after: limits::OVERLOAD_RETRY_DELAY });
    // Those who go away give their places back.
    drop(waiting);
    assert!(settled(scene.gate.check(&bearer("correct horse"), None)).await.is_ok());
}

/// With the permit to check still held by the pause, on a runtime of one thread, nothing goes on before we let it.
#[tokio::test]
async fn after_a_wrong_slow_secret_nothing_is_checked_for_a_while_and_after_a_right_one_at_once() {
    // Some 20 ms, so that the pause is no shorter than what the clock can tell.
    let scene = Scene::with(&entry("person", "all", &phc_of("correct horse", 8192)));
    let is_free = || scene.gate.inner.slow.is_free();
    assert!(settled(scene.gate.check(&bearer("wrong"), None)).await.is_err());
    assert!(!is_free(), "whoever tries many waits most of the time");
    assert!(settled(scene.gate.check(&bearer("correct horse"), None)).await.is_ok());
    assert!(is_free());
}

#[test]
fn a_file_has_so_many_bytes() {
    let scene = Scene::with("");
    let open = |bytes: u64| {
        fs::write(&scene.file, "#".repeat(bytes as usize)).unwrap();
        Gate::open(Settings { credentials: Some(scene.file.clone()), jwt: None }, Arc::new(Still)).map(|_| ())
    };
    assert!(open(limits::CREDENTIALS_FILE_BYTES).is_ok());
    assert!(open(limits::CREDENTIALS_FILE_BYTES + 1).unwrap_err().to_string().contains("larger than 4194304 bytes"));
}

#[test]
fn a_certificate_is_known_by_its_san_alone_and_only_where_no_header_is() {
    let signed = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "pump.example");
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    };
    let token = issue::new_token().unwrap();
    let scene = Scene::with(
        &(entry("one", "all", &format!("sha256 = \"{}\"", token.sha256))
            + &entry("pump", ACCOUNT, "certificate = \"dns:Pump.Example\"")),
    );
    let check = |headers: &HeaderMap, certificate: &[u8]| {
        now(scene.gate.check(headers, Some(certificate))).map(|admitted| admitted.caller.scope)
    };
    let none = HeaderMap::new();
    let pump = Scope::Account(AccountSid::parse(ACCOUNT).unwrap());
    assert_eq!(check(&none, &signed(&["other.example", "PUMP.example"])), Ok(pump));
    for other in [signed(&["other.example"]), signed(&["x.pump.example"]), signed(&[]), b"no certificate".to_vec()] {
        assert_eq!(check(&none, &other), Err(Denied::Wrong), "by its subject, or by nothing");
    }
    assert_eq!(check(&bearer("wrong"), &signed(&["pump.example"])), Err(Denied::Wrong), "the header decides");
    assert_eq!(check(&bearer(&token.token), &signed(&["pump.example"])), Ok(Scope::All));
}

/// Two looks, as `follow` takes them.
fn reload(scene: &Scene, text: &str) {
    let (mut credentials, mut jwks) = Default::default();
    let mut look = || scene.gate.look(&mut credentials, &mut jwks);
    look();
    fs::write(&scene.file, text).unwrap();
    look();
    look();
}

#[test]
fn a_changed_file_is_taken_over_and_a_bad_one_is_not() {
    let token = issue::new_token().unwrap();
    let sum = format!("sha256 = \"{}\"", token.sha256);
    let scene = Scene::with(&entry("one", "all", &sum));
    let check = || now(scene.gate.check(&bearer(&token.token), None));
    let lease = check().unwrap().lease;
    for bad in ["[[credential]]\n", "§", &entry("one", "all", "sha256 = \"1\"")] {
        reload(&scene, bad);
        assert!(check().is_ok() && !lease.is_over(), "the old file still holds");
    }
    assert_eq!((scene.gate.reloads().taken(), scene.gate.reloads().refused()), (0, 3));
    reload(&scene, &(entry("two", "all", &format!("sha256 = \"{}\"", "0".repeat(64))) + &entry("one", "all", &sum)));
    assert!(check().is_ok() && !lease.is_over(), "the entry has moved, and is the same");
    reload(&scene, &entry("one", ACCOUNT, &sum));
    assert!(lease.is_over(), "the entry has changed");
    assert!(check().unwrap().caller.scope != Scope::All);
    reload(&scene, "");
    assert_eq!(check().unwrap_err(), Denied::Wrong);
    assert_eq!(scene.gate.reloads().taken(), 3);
}

#[test]
fn a_file_that_is_being_written_is_not_taken_before_it_stands_still() {
    let token = issue::new_token().unwrap();
    let scene = Scene::with(&entry("one", "all", &format!("sha256 = \"{}\"", token.sha256)));
    let (mut credentials, mut jwks) = Default::default();
    let mut look = || scene.gate.look(&mut credentials, &mut jwks);
    look();
    // Cut short, each of these is a good file that knows nobody.
    for half in ["# a", "# a\n", "# a\n# b\n"] {
        fs::write(&scene.file, half).unwrap();
        look();
        assert!(now(scene.gate.check(&bearer(&token.token), None)).is_ok());
    }
    look();
    assert!(now(scene.gate.check(&bearer(&token.token), None)).is_err());
}

#[test]
fn a_key_that_is_taken_away_ends_what_it_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let jwks = dir.path().join("jwks.json");
    let (one, two) = (Signer::p256(), Signer::ed25519());
    fs::write(&jwks, set(&[one.jwk("1"), two.jwk("2")])).unwrap();
    let claim = |text: &str| crate::access::jwt::Claim::new(text).unwrap();
    let expected = crate::access::jwt::Expected {
        issuer: "i".to_owned(),
        audience: "a".to_owned(),
        account_claim: claim("account"),
        roles_claim: claim("roles"),
    };
    let jwt = Some(crate::access::JwtSettings { jwks: jwks.clone(), expected });
    let gate = Gate::open(Settings { credentials: None, jwt }, Arc::new(Still)).unwrap();
    let claims = serde_json::json!({"iss": "i", "aud": "a", "exp": 1_800_000_060, "account": "all", "roles": "read"});
    let leases = [one.token("1", &claims), two.token("2", &claims)]
        .map(|token| now(gate.check(&bearer(&token), None)).unwrap().lease);
    let (mut of_credentials, mut of_jwks) = Default::default();
    gate.look(&mut of_credentials, &mut of_jwks);
    // A file that is bad takes no key away.
    fs::write(&jwks, "{").unwrap();
    (0..3).for_each(|_| gate.look(&mut of_credentials, &mut of_jwks));
    assert!(now(gate.check(&bearer(&one.token("1", &claims)), None)).is_ok() && gate.reloads().refused() == 1);
    assert!(leases.iter().all(|lease| !lease.is_over()));
    fs::write(&jwks, set(&[two.jwk("2")])).unwrap();
    gate.look(&mut of_credentials, &mut of_jwks);
    gate.look(&mut of_credentials, &mut of_jwks);
    assert_eq!(leases.map(|lease| lease.is_over()), [true, false]);
    // Basic narrows a signed token, too.
    let narrowed = now(gate.check(&basic(ACCOUNT, &two.token("2", &claims)), None)).unwrap();
    assert_eq!(narrowed.caller.scope, Scope::Account(AccountSid::parse(ACCOUNT).unwrap()));
}
