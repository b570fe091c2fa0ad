//! The vectors of the vendor's own libraries, and what must not pass.

use crate::taskrouter::signature::{is_of_body, is_of_form, naming_body, of_body, of_form};

const TOKEN: &str = "12345";
const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
const FORM: [(&str, &str); 5] = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
    ("Caller", "+14158675309"),
];
const FORM_SIGNATURE: &str = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
const BODY: &[u8] = br#"{"property": "value", "boolean": true}"#;
const BODY_SHA256: &str = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";

#[test]
fn the_vendors_vectors() {
    assert_eq!(of_form(TOKEN, URL, &FORM), FORM_SIGNATURE);
    assert!(is_of_form(TOKEN, URL, &FORM, FORM_SIGNATURE));
    let url = naming_body(URL, BODY);
    assert_eq!(url, format!("{URL}&bodySHA256={BODY_SHA256}"));
    assert_eq!(of_body(TOKEN, &url), "a9nBmqA0ju/hNViExpshrM61xv4=");
    assert!(is_of_body(TOKEN, &url, BODY, "a9nBmqA0ju/hNViExpshrM61xv4="));
    let bare = naming_body("https://mycompany.com/myapp.php", BODY);
    assert!(is_of_body(TOKEN, &bare, BODY, "y77kIzt2vzLz71DgmJGsen2scGs="));
}

#[test]
fn a_port_may_be_spelled_out_or_not_on_either_side() {
    for (signed, ours) in [
        ("https://a.example:443/x?y=1", "https://a.example/x?y=1"),
        ("https://a.example/x?y=1", "https://a.example:443/x?y=1"),
        ("https://a.example/x", "https://a.example:8443/x"),
        ("http://a.example:80", "http://a.example"),
        ("https://[2001:db8::1]:443/x", "https://[2001:db8::1]/x"),
    ] {
        assert!(is_of_form(TOKEN, ours, &FORM, &of_form(TOKEN, signed, &FORM)), "{signed} as {ours}");
    }
    let other_port = of_form(TOKEN, "https://a.example:8444/x", &FORM);
    assert!(!is_of_form(TOKEN, "https://a.example:8443/x", &FORM, &other_port));
}

#[test]
fn whatever_is_changed_the_signature_is_wrong() {
    let changed = |name: &str, value: &str| {
        let mut form: Vec<(String, String)> = FORM.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        form.push((name.to_owned(), value.to_owned()));
        is_of_form(TOKEN, URL, &form, FORM_SIGNATURE)
    };
    assert!(changed("From", "+14158675309"), "the same again is as once");
    assert!(!changed("From", "+14158675308"));
    assert!(!changed("Extra", ""));
    assert!(!is_of_form("12346", URL, &FORM, FORM_SIGNATURE));
    assert!(!is_of_form(TOKEN, &URL.replace("foo=1", "foo=2"), &FORM, FORM_SIGNATURE));
    for shown in ["", "=", "RSOYDt4T1cUTdK1PDd93/VVr8B8", "rsoydt4t1cutdk1pdd93/vvr8b8=", "Ä"] {
        assert!(!is_of_form(TOKEN, URL, &FORM, shown), "{shown:?}");
    }
}

#[test]
fn a_body_that_the_url_does_not_name_is_not_signed() {
    let url = naming_body(URL, BODY);
    let signature = of_body(TOKEN, &url);
    assert!(!is_of_body(TOKEN, &url, b"{}", &signature));
    assert!(!is_of_body(TOKEN, URL, BODY, &of_body(TOKEN, URL)), "without bodySHA256 any body would do");
    let twice = format!("{}&bodySHA256={BODY_SHA256}", naming_body(URL, b"{}"));
    assert!(!is_of_body(TOKEN, &twice, BODY, &of_body(TOKEN, &twice)), "the first counts");
}
