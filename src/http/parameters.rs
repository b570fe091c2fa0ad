//! The query of a call, by the names that TaskRouter gives its parameters.
//!
//! What is unknown is ignored, as TaskRouter does; what is empty counts as absent; what is given twice is refused, since
//! each of the two could be meant.

use percent_encoding::percent_decode_str;

use super::problem::Problem;
use super::time;
use crate::api::proto::{Duration, Timestamp};
use crate::api::status::ApiError;

/// The contract's name of each field, and TaskRouter's of the parameter. The longer of two that begin alike comes first.
const NAMES: [(&str, &str); 7] = [
    ("minutes", "Minutes"),
    ("start_time", "StartDate"),
    ("end_time", "EndDate"),
    ("task_channel", "TaskChannel"),
    ("split_by_wait_time", "SplitByWaitTime"),
    ("heartbeat_interval", "HeartbeatInterval"),
    ("min_interval", "MinInterval"),
];

/// What the services say about fields, said about parameters.
pub fn translated(text: &str) -> String {
    NAMES.iter().fold(text.to_owned(), |text, (field, parameter)| text.replace(field, parameter))
}

/// The parameters of one call, and what is wrong with them so far.
#[derive(Debug, Default)]
pub struct Parameters {
    given: Vec<(&'static str, String)>,
    bad: Vec<String>,
}

impl Parameters {
    pub fn read(query: Option<&str>) -> Parameters {
        let mut parameters = Parameters::default();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = decoded(name) else { continue };
            let Some((_, name)) = NAMES.iter().find(|(_, known)| *known == name) else { continue };
            if parameters.given.iter().any(|(given, _)| given == name) {
                parameters.add(name, "is given more than once");
            }
            match decoded(value) {
                Some(value) => parameters.given.push((name, value)),
                None => parameters.add(name, "is not percent-encoded UTF-8"),
            }
        }
        parameters
    }

    fn add(&mut self, name: &str, what: &str) {
        let what = format!("{name} {what}");
        if !self.bad.contains(&what) {
            self.bad.push(what);
        }
    }

    fn given(&self, name: &str) -> Option<String> {
        let found = self.given.iter().find(|(given, _)| *given == name);
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    }

    /// As given; empty where absent.
    pub fn word(&self, name: &str) -> String {
        self.given(name).unwrap_or_default()
    }

    pub fn number(&mut self, name: &str) -> Option<i32> {
        let text = self.given(name)?;
        let number = whole(&text);
        if number.is_none() {
            self.add(name, "must be a whole number");
        }
        number
    }

    /// Separated by commas.
    pub fn numbers(&mut self, name: &str) -> Vec<i32> {
        let Some(text) = self.given(name) else { return Vec::new() };
        let numbers: Option<Vec<i32>> = text.split(',').map(|number| whole(number.trim_matches(' '))).collect();
        numbers.unwrap_or_else(|| {
            self.add(name, "must be whole numbers of seconds, separated by commas, such as 5,30");
            Vec::new()
        })
    }

    pub fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.given(name)?;
        let moment = time::read(&text);
        if moment.is_none() {
            self.add(name, time::FORMS);
        }
        moment.map(|(seconds, nanos)| Timestamp { seconds, nanos })
    }

    /// A duration such as `500ms` or `5s`.
    pub fn length(&mut self, name: &str) -> Option<Duration> {
        let text = self.given(name)?;
        let length = humantime::parse_duration(&text).ok().and_then(|length| Duration::try_from(length).ok());
        if length.is_none() {
            self.add(name, "must be a duration such as 500ms or 5s");
        }
        length
    }

    /// What the services made of these parameters; everything that is wrong is said at once.
    pub fn checked<T>(self, read: Result<T, ApiError>) -> Result<T, Problem> {
        match read.map_err(super::problem::problem) {
            Ok(value) if self.bad.is_empty() => Ok(value),
            Ok(_) => Err(Problem::invalid(self.bad.join("; "))),
            // A path that names nothing has no parameters.
            Err(problem) if self.bad.is_empty() || problem.status == http::StatusCode::NOT_FOUND => Err(problem),
            Err(problem) => Err(Problem::invalid(format!("{}; {}", self.bad.join("; "), problem.message))),
        }
    }
}

/// Digits that an int32 holds, and a minus: its range is told apart from what is no number.
fn whole(text: &str) -> Option<i32> {
    Some(text).filter(|text| !text.starts_with('+'))?.parse().ok()
}

/// `None` where a percent sign is not followed by two hexadecimal digits, or what comes out is no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    let is_whole = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(is_whole) {
        return None;
    }
    percent_decode_str(&text).decode_utf8().ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Parameters {
        Parameters::read(Some(query))
    }

    #[test]
    fn encoded_or_not_a_value_is_the_same() {
        for query in
            ["SplitByWaitTime=5,30", "SplitByWaitTime=5%2C30", "SplitByWaitTime=5%2c+30", "Split%42yWaitTime=5,30"]
        {
            assert_eq!(read(query).numbers("SplitByWaitTime"), [5, 30], "{query}");
        }
        let at = Timestamp { seconds: 1_767_268_800, nanos: 0 };
        for query in ["StartDate=2026-01-01T14:00:00+02:00", "StartDate=2026-01-01T14%3A00%3A00%2B02%3A00"] {
            assert_eq!(read(query).time("StartDate"), Some(at), "{query}");
        }
        assert_eq!(read("TaskChannel=a+b%2Bc%26").word("TaskChannel"), "a b+c&");
    }

    #[test]
    fn what_is_unknown_or_empty_is_as_if_absent() {
        let mut parameters = read("minutes=x&Nonsense=%zz&Minutes=&&=5&TaskChannel");
        assert_eq!((parameters.number("Minutes"), parameters.word("TaskChannel")), (None, String::new()));
        assert!(parameters.bad.is_empty(), "{parameters:?}");
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        let mut parameters =
            read("Minutes=x&StartDate=y&SplitByWaitTime=5,,30&TaskChannel=%zz&EndDate=&EndDate=&Minutes=1");
        let (_, _, _) =
            (parameters.number("Minutes"), parameters.time("StartDate"), parameters.numbers("SplitByWaitTime"));
        let problem = parameters.checked(Ok(())).unwrap_err();
        for name in [
            "Minutes is given",
            "Minutes must",
            "StartDate must",
            "SplitByWaitTime must",
            "TaskChannel is not",
            "EndDate is given",
        ] {
            assert!(problem.message.contains(name), "{name}: {}", problem.message);
        }
    }
}
