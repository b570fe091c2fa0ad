//! Credentials files: what is taken, and where it says that something is wrong.
use crate::access::book::Book;
use crate::access::issue;
use crate::limits;

const SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn entry(name: &str, proof: &str) -> String {
    format!("[[credential]]\nname = \"{name}\"\naccount = \"all\"\nroles = [\"read\"]\n{proof}\n")
}

fn fault(text: &str) -> (usize, String) {
    let fault = Book::parse(text).err().unwrap_or_else(|| panic!("taken: {text}"));
    (fault.line, fault.what)
}

#[test]
fn all_kinds_of_entries_are_taken() {
    let phc = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$2LpA5nTcGJ4wFb8C4R1d0pB4bhNbWDMS1GfTk4wJ0wQ";
    let text = [
        "# people\n".to_owned(),
        entry("a", &format!("sha256 = \"{SUM}\"")),
        entry("b", &format!("argon2 = '{phc}'")),
        entry("c", "certificate = \"dns:Pump.Example\""),
        entry("d", "certificate = \"uri:spiffe://example/pump\""),
        entry("e", "certificate = \"email:pump@example\""),
    ];
    let book = Book::parse(&text.concat()).unwrap_or_else(|fault| panic!("{fault:?}"));
    let kinds: Vec<_> = book.credentials().map(|one| (&*one.name, one.kind())).collect();
    assert_eq!(
        kinds,
        [("a", "sha256"), ("b", "argon2"), ("c", "certificate"), ("d", "certificate"), ("e", "certificate")]
    );
    assert_eq!(Book::parse("").map(|book| book.len()).ok(), Some(0), "nobody is let in");
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_never_quoted() {
    let good = format!("sha256 = \"{SUM}\"");
    let other = good.replace("0123", "3210");
    let heavy = "argon2 = \"$argon2id$v=19$m=65537,t=1,p=1$c2FsdHNhbHQ$2LpA5nTcGJ4wFb8C4R1d0pB4bhNbWDMS1GfTk4wJ0wQ\"";
    for (text, line, complaint) in [
        ("x = 1\n".to_owned(), 1, "expected [[credential]]"),
        ("\n[credential]\nname = \"a\"\n".to_owned(), 2, "two brackets"),
        ("credential = [1]".to_owned(), 1, "[[credential]]"),
        (entry("a", &good) + "[[credential]\n", 6, "not TOML"),
        (entry("a", "sha256 = \"hunter2"), 5, "not TOML"),
        (entry("a", &format!("{good}\n{good}")), 6, "not TOML"),
        (entry("a", &format!("{good}\ntoken = \"hunter2\"")), 6, "unknown key"),
        (entry("a", &format!("{good}\ncertificate = \"dns:a\"")), 6, "only one"),
        (entry("a", ""), 1, "one of sha256, argon2 and certificate is missing"),
        (entry("a", "sha256 = \"hunter2\""), 5, "64 hexadecimal"),
        (entry("a", "sha256 = 7"), 5, "text in quotes"),
        (entry("a", "argon2 = \"hunter2\""), 5, "PHC"),
        (entry("a", "argon2 = \"$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ\""), 5, "PHC"),
        (entry("a", "argon2 = \"$scrypt$ln=1$c2FsdHNhbHQ$2LpA5nTcGJ4wFb8C4R1d0pB4bhNbWDMS1GfTk4wJ0wQ\""), 5, "PHC"),
        (entry("a", heavy), 5, "too much"),
        (entry("a", &heavy.replace("m=65537,t=1", "m=65536,t=5")), 5, "too much"),
        (entry("a", "certificate = \"pump.example\""), 5, "dns:NAME"),
        (entry("a", "certificate = \"dns:\""), 5, "dns:NAME"),
        (entry("a", "certificate = \"ip:10.0.0.1\""), 5, "dns:NAME"),
        (entry("", &good), 2, "name must be"),
        (entry("two words", &good), 2, "name must be"),
        (entry(&"x".repeat(65), &good), 2, "name must be"),
        (entry("AC000000000000000000000000000000aa", &good), 2, "sid"),
        (entry("a", &good) + &entry("a", &other), 6, "the name a is used twice"),
        (entry("a", &good) + &entry("b", &good.to_uppercase().replace("SHA256", "sha256")), 6, "what proves a"),
        (entry("a", "certificate = \"dns:x\"") + &entry("b", "certificate = \"dns:X\""), 6, "what proves a"),
        (entry("a", &good).replace("\"all\"", "\"AC12\""), 3, "account must be AC"),
        (entry("a", &good).replace("account = \"all\"\n", ""), 1, "account is missing"),
        (entry("a", &good).replace("[\"read\"]", "[]"), 4, "at least one"),
        (entry("a", &good).replace("[\"read\"]", "\"read\""), 4, "list"),
        (entry("a", &good).replace("[\"read\"]", "[\"hunter2\"]"), 4, "read, ingest, admin"),
        (entry("a", &good).replace("roles = [\"read\"]\n", ""), 1, "roles is missing"),
    ] {
        let (found, what) = fault(&text);
        assert!(
            what.contains(complaint) && found == line,
            "line {found}: {what}; expected {line}: {complaint}\n{text}"
        );
        assert!(!what.contains("hunter2"), "{what}");
    }
}

/// What cannot even be read may be a secret where none belongs: the reader's own words would quote it.
#[test]
fn what_is_not_toml_is_never_quoted() {
    for text in [
        "hunter2",
        "hunter2 = 1\nhunter2 = 2",
        "sha256 = hunter2",
        "sha256 = 'a' hunter2",
        "sha256 = 12hunter2",
        "sha256 = \"\\hunter2\"",
        "[hunter2]\n[hunter2]",
        "[[credential]]\n[credential]\nhunter2 = 1",
        "a = 1\na.hunter2 = 1",
        "hunter2 = 1\nhunter2.a = 1",
        "a = {hunter2 = 1, hunter2 = 2}",
    ] {
        let (_, what) = fault(text);
        assert!(!what.contains("hunter2"), "{text:?}: {what}");
    }
    let most = Book::parse(&entry(
        "a",
        "argon2 = '$argon2id$v=19$m=65536,t=4,p=1$c2FsdHNhbHQ$2LpA5nTcGJ4wFb8C4R1d0pB4bhNbWDMS1GfTk4wJ0wQ'",
    ));
    assert!(most.is_ok(), "the dearest that may be");
}

#[test]
fn the_numbers_of_entries_are_bounded() {
    let of = |count: usize, proof: &dyn Fn(usize) -> String| -> String {
        (0..count).map(|number| entry(&format!("n{number}"), &proof(number))).collect()
    };
    let sums = |number: usize| format!("sha256 = \"{number:064x}\"");
    assert!(Book::parse(&of(limits::CREDENTIALS, &sums)).is_ok());
    assert!(fault(&of(limits::CREDENTIALS + 1, &sums)).1.contains("more than 10000 credentials"));
    let slow = |number: usize| {
        format!(
            "argon2 = \"$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$2LpA5nTcGJ4wFb8C4R1d0pB4bhNbWDMS1GfTk4wJ{number:02}Q\""
        )
    };
    assert!(Book::parse(&of(limits::ARGON2_CREDENTIALS, &slow)).is_ok());
    assert!(fault(&of(limits::ARGON2_CREDENTIALS + 1, &slow)).1.contains("argon2"));
}

#[test]
fn a_token_is_found_by_its_sum_alone() {
    let (one, two) = (issue::new_token().unwrap(), issue::new_token().unwrap());
    let sums =
        [("one", &one.sha256), ("two", &two.sha256)].map(|(name, sum)| entry(name, &format!("sha256 = \"{sum}\"")));
    let book = Book::parse(&sums.concat()).unwrap_or_else(|fault| panic!("{fault:?}"));
    let name = |token: &str| book.with_token(token).map(|found| found.name.to_string());
    assert_eq!(name(&one.token).as_deref(), Some("one"));
    assert_eq!(name(&two.token).as_deref(), Some("two"));
    for wrong in ["", &one.sha256, &one.token[..one.token.len() - 1], &format!("{} ", one.token)] {
        assert_eq!(name(wrong), None);
    }
}

#[test]
fn a_later_file_keeps_what_did_not_change_and_ends_the_rest() {
    let text = |names: &[&str]| -> String {
        names.iter().enumerate().map(|(at, name)| entry(name, &format!("sha256 = \"{at:064x}\""))).collect()
    };
    let parse = |text: &str| Book::parse(text).unwrap_or_else(|fault| panic!("{fault:?}"));
    let old = parse(&text(&["stays", "changes", "goes"]));
    let before: Vec<_> = old.credentials().map(|one| one.taken_away.clone()).collect();
    let next = parse(&text(&["stays", "changes"]).replace(
        "\"changes\"\naccount = \"all\"\nroles = [\"read\"]",
        "\"changes\"\naccount = \"all\"\nroles = [\"admin\"]",
    ));
    let (new, ends) = next.after(&old);
    assert!(before.iter().all(|token| !token.is_cancelled()), "not before the new book is there");
    ends.iter().for_each(|end| end.cancel());
    assert_eq!(before.iter().map(|token| token.is_cancelled()).collect::<Vec<_>>(), [false, true, true]);
    assert!(new.credentials().all(|one| !one.taken_away.is_cancelled()));
}

fn signer(name: &str, account: &str, token: &str) -> String {
    format!("[[auth_token]]\nname = \"{name}\"\naccount = \"{account}\"\ntoken = \"{token}\"\n")
}

const ACCOUNT: &str = "AC000000000000000000000000000000aa";
const OTHER: &str = "AC000000000000000000000000000000bb";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn an_account_has_one_auth_token_and_what_is_wrong_with_it_is_told_with_its_line() {
    let people = entry("a", &format!("sha256 = \"{SUM}\""));
    let book = Book::parse(&(signer("acme", ACCOUNT, TOKEN) + &people + &signer("other", OTHER, TOKEN)));
    let book = book.unwrap_or_else(|fault| panic!("{fault:?}"));
    assert_eq!((book.len(), book.auth_tokens().count()), (3, 2));
    for (text, line, complaint) in [
        (signer("acme", ACCOUNT, TOKEN) + &signer("b", &ACCOUNT.to_uppercase(), TOKEN), 5, "has one auth token"),
        (people + &signer("a", ACCOUNT, TOKEN), 6, "the name a is used twice"),
        (signer("two words", ACCOUNT, TOKEN), 2, "name must be"),
        (signer("acme", "all", TOKEN), 3, "account must be AC"),
        (signer("acme", ACCOUNT, "hunter2"), 4, "token must be 16 to 128"),
        (signer("acme", ACCOUNT, "hunter2 hunter2 hunter2"), 4, "visible characters"),
        (signer("acme", ACCOUNT, TOKEN) + "sha256 = \"hunter2\"\n", 5, "unknown key"),
        (format!("[[auth_token]]\nname = \"a\"\naccount = \"{ACCOUNT}\"\n"), 1, "token is missing"),
        ("[auth_token]\n".to_owned(), 1, "two brackets"),
    ] {
        let (told, what) = fault(&text);
        assert!(told == line && what.contains(complaint), "{told}: {what}\n{text}");
        assert!(!what.contains("hunter2") && !what.contains(TOKEN), "{what}");
    }
}
