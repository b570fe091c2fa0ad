//! Requests that are known by their signatures.

use std::fs;
use std::path::PathBuf;

use tasktally::access::issue::{NewToken, new_token};
use tasktally::api::proto::v1;
use tasktally::taskrouter::{callback, signature};
use tempfile::TempDir;

use super::sent::{
    CALLBACK, FORM, JSON, STREAM, assert_taken, form, list, post, post_form, post_json, post_signed_form,
    post_signed_json, tally,
};
use crate::common::events::{ACCOUNT, created, now_ms, sid};
use crate::common::eventually_blocking;
use crate::common::people::OTHER_ACCOUNT;
use crate::common::process::{Launch, Server, tasktally};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const OTHER_TOKEN: &str = "fedcba9876543210fedcba9876543210";

struct Book {
    dir: TempDir,
    /// Of a credential that may bring events of all accounts.
    pump: NewToken,
}

impl Book {
    /// Two accounts that sign, and one pump of all accounts.
    fn new() -> Book {
        let book = Book { dir: tempfile::tempdir().unwrap(), pump: new_token().unwrap() };
        book.write(TOKEN);
        book
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("credentials.toml")
    }

    fn write(&self, token: &str) {
        let signer = |name: &str, account: &str, token: &str| {
            format!("[[auth_token]]\nname = \"{name}\"\naccount = \"{account}\"\ntoken = \"{token}\"\n\n")
        };
        let sum = &self.pump.sha256;
        let pump =
            format!("[[credential]]\nname = \"pump\"\naccount = \"all\"\nroles = [\"ingest\"]\nsha256 = \"{sum}\"\n");
        let text = signer("acme", ACCOUNT, token) + &signer("other", OTHER_ACCOUNT, OTHER_TOKEN) + &pump;
        let beside = self.dir.path().join("next");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.file()).unwrap();
    }

    fn serve(&self) -> Server {
        Launch::ephemeral().with(["--credentials"]).with([self.file()]).start()
    }
}

fn of_account(number: u64, account: &str) -> v1::Event {
    let workspace = sid("WS", if account == ACCOUNT { 1 } else { 2 });
    v1::Event { account_sid: account.to_owned(), ..created(number, &workspace, now_ms(), "voice") }
}

#[test]
fn a_valid_signature_is_the_ingest_credential_of_its_account_and_nothing_more() {
    let book = Book::new();
    let server = book.serve();
    let address = &server.address;
    assert_taken(&post_signed_form(address, TOKEN, &form(&of_account(1, ACCOUNT))));
    assert_taken(&post_signed_form(address, OTHER_TOKEN, &form(&of_account(2, OTHER_ACCOUNT))));
    let both = list(&[of_account(3, ACCOUNT), of_account(4, OTHER_ACCOUNT)]);
    let (accepted, _, refused) = tally(&post_signed_json(address, OTHER_TOKEN, &both));
    assert_eq!((accepted, refused.len()), (1, 1), "of two accounts one has signed");
    assert_eq!((&refused[0]["index"], &refused[0]["reason"]), (&0.into(), &"ACCOUNT_MISMATCH".into()));
    // It reads nothing.
    let path = format!("/v1/Workspaces/{}/RealTimeStatistics", sid("WS", 1));
    let url = format!("http://{address}{path}");
    let signed = format!("x-twilio-signature: {}", signature::of_body(TOKEN, &url));
    crate::common::web::get(address, &path, &[&signed]).problem(401, 20003);
}

#[test]
fn what_names_no_account_is_told_so_whoever_signed_it() {
    let book = Book::new();
    let server = book.serve();
    let nameless = v1::Event { account_sid: String::new(), ..of_account(1, ACCOUNT) };
    let of_form = post_signed_form(&server.address, TOKEN, &form(&nameless)).problem(403, 20403);
    let of_list = post_signed_json(&server.address, TOKEN, "[]").problem(403, 20403);
    for told in [of_form, of_list] {
        assert!(told.contains("names no account"), "{told}");
    }
}

#[test]
fn a_missing_or_wrong_signature_is_403_and_nothing_of_it_is_taken() {
    let book = Book::new();
    let server = book.serve();
    let address = &server.address;
    let event = form(&of_account(1, ACCOUNT));
    let missing = post_form(address, &[], &event).problem(403, 20403);
    assert!(missing.contains("X-Twilio-Signature is missing"), "{missing}");
    for token in [OTHER_TOKEN, "", "0123456789abcdef0123456789abcdeF"] {
        let wrong = post_signed_form(address, token, &event).problem(403, 20403);
        assert!(wrong.contains(&format!("http://{address}{CALLBACK}")), "{wrong}");
        assert!(!wrong.contains(TOKEN), "{wrong}");
    }
    let pairs = callback::pairs(event.as_bytes()).unwrap();
    let good = signature::of_form(TOKEN, &format!("http://{address}{CALLBACK}"), &pairs);
    for shown in ["", "x", "====", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", &good[1..]] {
        post_form(address, &[&format!("x-twilio-signature: {shown}")], &event).problem(403, 20403);
    }
    let good = format!("x-twilio-signature: {good}");
    post_form(address, &[&good, &good], &event).problem(403, 20403);
    post_form(address, &[&good], &event.replace("voice", "chat")).problem(403, 20403);
    post(address, &format!("{CALLBACK}?x=1"), &[FORM, &good], event.as_bytes()).problem(403, 20403);
    // Other credentials do not make it good, though they bring events of accounts that have no token.
    let pump = format!("authorization: Bearer {}", book.pump.token);
    post_form(address, &[&pump], &event).problem(403, 20403);
    post_json(address, &[&pump], &list(&[of_account(1, ACCOUNT)])).problem(403, 20403);
    let elsewhere = v1::Event { account_sid: sid("AC", 9), ..created(9, &sid("WS", 9), now_ms(), "voice") };
    assert_taken(&post_form(address, &[&pump], &form(&elsewhere)));
    // A stranger's account is not told from one that must sign.
    let stranger = form(&v1::Event { account_sid: sid("AC", 9), ..of_account(1, ACCOUNT) });
    post_signed_form(address, TOKEN, &stranger).problem(403, 20403);
    // The body that the URL names is another one, or none.
    let (body, url) = (list(&[of_account(1, ACCOUNT)]), format!("http://{address}{STREAM}"));
    let signed = |url: &str| format!("x-twilio-signature: {}", signature::of_body(TOKEN, url));
    post_json(address, &[&signed(&url)], &body).problem(403, 20403);
    let named = signature::naming_body(&url, b"[]");
    let path = named.strip_prefix(&format!("http://{address}")).unwrap();
    post(address, path, &[JSON, &signed(&named)], body.as_bytes()).problem(403, 20403);
    post_json(address, &[], &body).problem(403, 20403);
    server.logs("a signature is missing or wrong");
    // None of it left a trace.
    assert_taken(&post(address, CALLBACK, &[FORM, &good], event.as_bytes()));
    assert!(!server.log.contains(TOKEN), "a token is in the log");
}

#[test]
fn a_changed_token_is_taken_over_and_the_public_url_is_what_is_signed() {
    let book = Book::new();
    let launch = Launch::ephemeral().with(["--public-url", "https://events.example.com", "--credentials"]);
    let server = launch.with([book.file()]).start();
    let event = form(&of_account(1, ACCOUNT));
    let pairs = callback::pairs(event.as_bytes()).unwrap();
    let post = |token: &str, url: &str| {
        let signature = signature::of_form(token, url, &pairs);
        post_form(&server.address, &[&format!("x-twilio-signature: {signature}")], &event).status
    };
    assert_eq!(post(TOKEN, "https://events.example.com/v1/events/callback"), 204);
    assert_eq!(post(TOKEN, "https://events.example.com:443/v1/events/callback"), 204, "either way of writing it");
    assert_eq!(post(TOKEN, "http://events.example.com/v1/events/callback"), 403);
    let next = "ffffffffffffffffffffffffffffffff";
    book.write(next);
    eventually_blocking("the new token holds", || {
        (post(next, "https://events.example.com/v1/events/callback") == 204).then_some(())
    });
    assert_eq!(post(TOKEN, "https://events.example.com/v1/events/callback"), 403);
}

#[test]
fn the_file_is_checked_as_the_server_reads_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let book = Book::new();
    fs::set_permissions(book.file(), fs::Permissions::from_mode(0o644)).unwrap();
    let arguments = || [PathBuf::from("credentials"), "check".into(), book.file()];
    let open = tasktally(arguments());
    assert!(open.err.contains("everybody on this host can read"), "{}", open.err);
    let said = open.well();
    let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["acme", ACCOUNT, "ingest", "auth_token"]);
    assert!(!said.contains(TOKEN), "{said}");
    fs::set_permissions(book.file(), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(tasktally(arguments()).err, "");
}
