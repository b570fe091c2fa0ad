//! The page as it is served.

use std::collections::BTreeSet;

use crate::common::process::Launch;
use crate::common::web::{Answer, ask, get};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

pub fn assert_guarded(answer: &Answer) {
    assert_eq!(answer.header("content-security-policy"), POLICY);
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("x-frame-options"), "DENY");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

/// What stands between quotes after this word.
fn quoted<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(word).skip(1).filter_map(|rest| rest.split('"').next())
}

#[test]
fn the_page_loads_what_is_served_beside_it_and_nothing_else() {
    let server = Launch::ephemeral().start();
    let mut wanted = vec!["/".to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(path) = wanted.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let answer = get(&server.address, &path, &[]);
        assert_eq!(answer.status, 200, "{path}");
        assert_guarded(&answer);
        let kind = match path.rsplit_once('.').map(|(_, end)| end) {
            None => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some(_) => "image/svg+xml",
        };
        assert_eq!(answer.header("content-type"), kind, "{path}");
        let text = answer.text();
        let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("http:") && !elsewhere.contains("https:") && !text.contains("url("), "{path}");
        assert!(!text.contains(" style=") && !text.contains("innerHTML") && !text.contains("eval("), "{path}");
        let files = quoted(text, "href=\"").chain(quoted(text, "src=\"")).filter(|file| !file.starts_with('#'));
        wanted.extend(files.map(str::to_owned));
        wanted.extend(quoted(text, "from \"./").map(|module| format!("/wallboard/{module}")));
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
}

#[test]
fn what_a_browser_has_is_not_sent_again() {
    let server = Launch::ephemeral().start();
    for path in ["/", "/wallboard/board.css", "/wallboard/board.js"] {
        let first = get(&server.address, path, &[]);
        assert_eq!(first.header("cache-control"), "no-cache");
        let validator = first.header("etag");
        assert!(validator.starts_with('"') && validator.len() == 34, "{validator}");
        for known in [validator.to_owned(), format!("\"x\", W/{validator}")] {
            let again = get(&server.address, path, &[&format!("if-none-match: {known}")]);
            assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, validator));
            assert_guarded(&again);
        }
        assert_eq!(get(&server.address, path, &["if-none-match: \"x\""]).status, 200);
        assert_eq!(ask(&server.address, &format!("HEAD {path} HTTP/1.1"), &[], b"").status, 200);
        ask(&server.address, &format!("POST {path} HTTP/1.1"), &["content-length: 0"], b"").problem(405, 20004);
    }
    get(&server.address, "/wallboard/other.js", &[]).problem(404, 20404);
}

#[test]
fn the_greeting_names_the_page() {
    let server = Launch::ephemeral().start();
    assert!(server.out.contains(&format!("board  {}/", server.url())), "{}", server.out.text());
}
