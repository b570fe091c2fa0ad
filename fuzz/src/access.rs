//! The door: files that say who is known, and what a caller shows.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tasktally::access::book::{self, Book};
use tasktally::access::{Checked, Fault, Gate, JwtSettings, Scope, Settings, issue};
use tasktally::event::{AccountSid, Millis};
use tasktally::limits;
use tasktally::pipeline::{Clock, Role, Roles};

use super::data::{Bytes, NOW, directory};
use super::token;

/// What no complaint may repeat: a secret in a wrong place. Nothing that is taken is written like this.
const SECRET: &str = "hunter 2!";

/// The tokens that the gate of [`shown`] knows, and what each may see.
pub const TOKENS: [(&str, &str); 3] =
    [("tt_pump", "all"), ("tt:board", "AC000000000000000000000000000000aa"), ("a.b.c.d", "all")];

/// The name that it knows a certificate by.
pub const CERTIFICATE: &str = "pump.example";

struct Still;

impl Clock for Still {
    fn now(&self) -> Millis {
        NOW
    }
}

pub fn entry(name: &str, account: &str, proof: &str) -> String {
    format!("[[credential]]\nname = \"{name}\"\naccount = \"{account}\"\nroles = [\"read\"]\n{proof}\n")
}

pub fn sha256(token: &str) -> String {
    format!("sha256 = \"{}\"", issue::sha256(token))
}

/// A complaint names a line that is there, and does not repeat a secret.
pub fn complaint(text: &str, fault: &Fault) {
    assert!((1..=text.split('\n').count()).contains(&fault.line), "line {} of {text:?}", fault.line);
    assert!(!fault.what.is_empty() && !fault.what.contains(SECRET), "{}", fault.what);
}

/// A file of any text is refused with a reason, or known twice alike; and with one entry more, its token is taken, which
/// it was not before.
pub fn credentials(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let book = match Book::parse(text) {
        Err(fault) => return complaint(text, &fault),
        Ok(book) => book,
    };
    assert!(book.len() <= limits::CREDENTIALS);
    let people = |book: &Book| {
        let person = |one: &book::Credential| (one.name.to_string(), one.caller, one.kind());
        book.credentials().map(person).collect::<Vec<_>>()
    };
    for (name, caller, kind) in people(&book) {
        assert!(book::checked_name(&name).is_ok() && !caller.roles.is_empty() && !kind.is_empty());
    }
    let again = Book::parse(text).unwrap_or_else(|_| panic!("refused at the second time: {text}"));
    assert_eq!(people(&again), people(&book));
    let (name, token) = ("one-more.than_there-is", "tt_one-more");
    let longer = format!("{text}\n{}", entry(name, "all", &sha256(token)));
    let Ok(more) = Book::parse(&longer) else { return };
    assert_eq!(more.len(), book.len() + 1);
    assert!(is_admitted(&gate(&longer), &bearer(token)));
    assert!(!is_admitted(&gate(text), &bearer(token)), "{text}");
}

fn gate(text: &str) -> Gate {
    let dir = directory();
    let file = dir.path().join("credentials.toml");
    fs::write(&file, text).expect("writing to memory");
    Gate::open(open_settings(file, None), Arc::new(Still)).expect("a file that was just read")
}

fn open_settings(credentials: PathBuf, jwt: Option<JwtSettings>) -> Settings {
    Settings { credentials: Some(credentials), jwt }
}

fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a token of ASCII");
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

fn is_admitted(gate: &Gate, headers: &HeaderMap) -> bool {
    scope(gate, headers, None).is_some()
}

fn scope(gate: &Gate, headers: &HeaderMap, certificate: Option<&[u8]>) -> Option<Scope> {
    match gate.check(headers, certificate) {
        Checked::Now(verdict) => verdict.ok().map(|admitted| {
            assert_eq!(admitted.caller.roles, Roles::from_iter([Role::Read]), "the roles are those of the entry");
            admitted.caller.scope
        }),
        // A slow secret is not known before it was checked.
        Checked::Later(_) => None,
    }
}

/// A gate with three tokens, a certificate and the keys of signed tokens.
fn known() -> &'static Gate {
    static GATE: OnceLock<Gate> = OnceLock::new();
    GATE.get_or_init(|| {
        let dir = directory();
        let tokens = TOKENS.iter().enumerate();
        let mut text: String =
            tokens.map(|(n, (token, account))| entry(&format!("n{n}"), account, &sha256(token))).collect();
        text.push_str(&entry("cert", "all", &format!("certificate = \"dns:{CERTIFICATE}\"")));
        let (credentials, jwks) = (dir.path().join("credentials.toml"), dir.path().join("jwks.json"));
        fs::write(&credentials, text).expect("writing to memory");
        fs::write(&jwks, token::key_set()).expect("writing to memory");
        let jwt = JwtSettings { jwks, expected: token::expected() };
        Gate::open(open_settings(credentials, Some(jwt)), Arc::new(Still)).expect("files of our own")
    })
}

/// What may be seen by whoever shows this token; a user name that is an account's sid narrows it, or contradicts it.
fn expected(user: Option<&str>, token: &str) -> Option<Scope> {
    let listed = TOKENS.iter().find(|(known, _)| *known == token);
    let scope = match listed {
        Some((_, account)) => book::scope(account).expect("an account of our own"),
        None if token == token::good() => Scope::All,
        None => return None,
    };
    let Some(claimed) = user.and_then(|user| AccountSid::parse(user).ok()) else { return Some(scope) };
    (scope == Scope::All || scope == Scope::Account(claimed)).then_some(Scope::Account(claimed))
}

/// A header of any bytes, two of them, a token, a user with a token, or a certificate: let in is who shows what is
/// listed, and nobody else.
pub fn shown(input: &[u8]) {
    let mut bytes = Bytes(input);
    let gate = known();
    let value = |bytes: &[u8]| HeaderValue::from_bytes(bytes).ok();
    match bytes.byte() % 5 {
        0 => {
            let Some(header) = value(bytes.0) else { return };
            let seen = scope(gate, &HeaderMap::from_iter([(AUTHORIZATION, header)]), None);
            assert!(seen.is_none() || bytes.0.len() > TOKENS[0].0.len(), "nothing is not enough");
        }
        1 => {
            let (first, second) = (value(bytes.prefixed()), value(bytes.0));
            let (Some(first), Some(second)) = (first, second) else { return };
            let headers = HeaderMap::from_iter([(AUTHORIZATION, first), (AUTHORIZATION, second)]);
            assert_eq!(scope(gate, &headers, None), None, "two headers contradict each other");
        }
        2 => {
            let Some(header) = value(&[b"bEARER ", bytes.0].concat()) else { return };
            let token = std::str::from_utf8(bytes.0).unwrap_or_default();
            let seen = scope(gate, &HeaderMap::from_iter([(AUTHORIZATION, header)]), None);
            assert_eq!(seen, expected(None, token.trim()), "{token:?}");
        }
        3 => {
            let header = value(format!("Basic {}", STANDARD.encode(bytes.0)).as_bytes()).expect("base64");
            let text = std::str::from_utf8(bytes.0).unwrap_or_default();
            let expected = text.split_once(':').and_then(|(user, token)| expected(Some(user), token));
            let seen = scope(gate, &HeaderMap::from_iter([(AUTHORIZATION, header)]), None);
            assert_eq!(seen, expected, "{text:?}");
        }
        _ => {
            let seen = scope(gate, &HeaderMap::new(), Some(bytes.0));
            let lower = bytes.0.to_ascii_lowercase();
            let names_it = lower.windows(CERTIFICATE.len()).any(|window| window == CERTIFICATE.as_bytes());
            assert!(seen.is_none() || names_it, "a certificate that does not have the name");
        }
    }
}
