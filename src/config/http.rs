//! TaskRouter's forms over HTTP: settings of `tasktally serve`.

use std::time::Duration;

use clap::Args;
use http::{HeaderValue, Uri};

use super::duration_within;
use crate::limits;

/// What browsers may do.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(next_help_heading = "HTTP")]
pub struct HttpSettings {
    /// Origins whose pages may read the resources in a browser and call the services in gRPC-Web, such as
    /// https://wall.example, separated by commas; or * for every page to read, which then must bring credentials of its
    /// own [default: none]
    #[arg(long, env = "TASKTALLY_HTTP_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',', value_parser = origin)]
    pub http_cors_origin: Vec<HeaderValue>,

    /// How long a browser that has signed in to the wallboard need not do so again: 1m to 365d. Its session is over before
    /// when its credentials are.
    #[arg(long, env = "TASKTALLY_WALLBOARD_SESSION_LIFE", value_name = "DURATION", default_value = "30d", value_parser = session_life)]
    pub wallboard_session_life: Duration,
}

fn session_life(text: &str) -> Result<Duration, String> {
    duration_within(text, limits::SESSION_LIFE_MIN, limits::SESSION_LIFE_MAX)
}

/// As browsers write it: a scheme, a host, a port where it is not the scheme's own, and no path.
fn origin(text: &str) -> Result<HeaderValue, String> {
    const WRONG: &str = "must be * or an origin such as https://wall.example or http://localhost:8080";
    if text != "*" {
        let uri: Uri = text.parse().map_err(|_| WRONG)?;
        let (scheme, authority) = (uri.scheme_str().ok_or(WRONG)?, uri.authority().ok_or(WRONG)?);
        if text != format!("{scheme}://{authority}") || authority.as_str().contains('@') {
            return Err(WRONG.to_owned());
        }
        if text.chars().any(|letter| letter.is_ascii_uppercase()) {
            return Err("browsers write origins in lower case".to_owned());
        }
    }
    HeaderValue::from_str(text).map_err(|_| WRONG.to_owned())
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn an_origin_is_what_a_browser_would_send() {
        for good in ["*", "https://wall.example", "http://localhost:8080", "http://[::1]:80", "app://wall"] {
            assert_eq!(origin(good).unwrap(), good);
        }
        for bad in [
            "",
            "null",
            "wall.example",
            "https://wall.example/",
            "https://wall.example/x",
            "https://Wall.example",
            "https://me@wall.example",
            "https://*.example/?",
            "é",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
