//! What a caller shows in its headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Not `Debug`: it holds the secret.
pub enum Shown {
    Nothing,
    /// There is something, and it has no form that is known here.
    Malformed,
    Token {
        /// Of Basic alone.
        user: Option<String>,
        token: String,
    },
}

/// `authorization: Bearer TOKEN` or `Basic base64(USER:TOKEN)`; the scheme in any case, as HTTP has it. More than one
/// such header contradict each other.
pub fn in_headers(headers: &HeaderMap) -> Shown {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Shown::Nothing };
    if values.next().is_some() {
        return Shown::Malformed;
    }
    value.to_str().ok().and_then(of_value).unwrap_or(Shown::Malformed)
}

fn of_value(value: &str) -> Option<Shown> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    let rest = rest.trim_start();
    if rest.is_empty() {
        return None;
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Shown::Token { user: None, token: rest.to_owned() });
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (user, token) = text.split_once(':')?;
    Some(Shown::Token { user: Some(user.to_owned()), token: token.to_owned() })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Option<(Option<String>, String)> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        match in_headers(&headers) {
            Shown::Token { user, token } => Some((user, token)),
            Shown::Nothing => {
                assert!(values.is_empty());
                None
            }
            Shown::Malformed => None,
        }
    }

    #[test]
    fn both_schemes_are_read_in_any_case() {
        assert_eq!(read(&["Bearer abc"]), Some((None, "abc".to_owned())));
        assert_eq!(read(&["bEARER  abc "]), Some((None, "abc".to_owned())));
        // user:to:ken
        assert_eq!(read(&["basic dXNlcjp0bzprZW4="]), Some((Some("user".to_owned()), "to:ken".to_owned())));
        assert_eq!(read(&["Basic OnQ="]), Some((Some(String::new()), "t".to_owned())));
    }

    #[test]
    fn anything_else_is_malformed() {
        for value in ["", "Bearer", "Bearer ", "abc", "Digest abc", "Basic !!!", "Basic dXNlcg==", "Basic /////w=="] {
            assert_eq!(read(&[value]), None, "{value:?}");
        }
        assert_eq!(read(&["Bearer abc", "Bearer abc"]), None);
        assert_eq!(read(&[]), None);
    }
}
