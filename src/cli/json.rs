//! Messages as canonical protobuf JSON, by the descriptors of the contract.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, SerializeOptions};
use serde_json::Value;

use super::failure::Failure;
use crate::api::proto::{DESCRIPTORS, v1};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(DESCRIPTORS).expect("the descriptors were written by the compiler of this very build")
});

static EVENT: LazyLock<MessageDescriptor> = LazyLock::new(|| descriptor("Event"));

fn descriptor(name: &str) -> MessageDescriptor {
    let name = format!("tasktally.v1.{name}");
    POOL.get_message_by_name(&name).unwrap_or_else(|| panic!("the contract has a message {name}"))
}

/// A message of the contract, by its name within the package, as one line of JSON. Zeros are written out: a statistic
/// that is 0 is an answer. Fields are in the order of the contract, and maps in that of their keys, so that equal answers
/// are equal lines.
///
/// # Errors
/// The message has no JSON form, such as a time that no calendar has.
pub fn line(name: &str, message: &impl Message) -> Result<String, Failure> {
    let descriptor = descriptor(name);
    let dynamic = DynamicMessage::decode(descriptor.clone(), message.encode_to_vec().as_slice())
        .unwrap_or_else(|error| panic!("the bytes of a {name} must be those of its descriptor: {error}"));
    let options = SerializeOptions::new().skip_default_fields(false);
    let mut value = dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| Failure::local("the answer as JSON", std::io::Error::other(error)))?;
    sort_maps(&mut value, &descriptor);
    Ok(value.to_string())
}

/// Likewise, without the fields that say nothing: for messages that are read back.
///
/// # Errors
/// As of [`line`].
pub fn terse_line(name: &str, message: &impl Message) -> Result<String, Failure> {
    let dynamic = DynamicMessage::decode(descriptor(name), message.encode_to_vec().as_slice())
        .unwrap_or_else(|error| panic!("the bytes of a {name} must be those of its descriptor: {error}"));
    serde_json::to_string(&dynamic).map_err(|error| Failure::local("an event as JSON", std::io::Error::other(error)))
}

/// Puts the maps of a message, which come in no order, into that of their keys: numbers by value, then text.
fn sort_maps(message: &mut Value, of: &MessageDescriptor) {
    // Times and the like are messages whose JSON is no object.
    let Value::Object(fields) = message else { return };
    for field in of.fields() {
        match (fields.get_mut(field.json_name()), field.kind()) {
            (Some(Value::Object(map)), _) if field.is_map() => {
                let mut entries: Vec<(String, Value)> = std::mem::take(map).into_iter().collect();
                entries.sort_by_cached_key(|(key, _)| (key.parse::<i64>().ok(), key.clone()));
                map.extend(entries);
            }
            (Some(Value::Array(items)), Kind::Message(of)) => items.iter_mut().for_each(|item| sort_maps(item, &of)),
            (Some(value), Kind::Message(of)) => sort_maps(value, &of),
            _ => {}
        }
    }
}

/// One line of JSON as an event.
///
/// # Errors
/// Why the line is not an event, for people.
pub fn event(line: &[u8]) -> Result<v1::Event, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    let dynamic =
        DynamicMessage::deserialize(EVENT.clone(), &mut deserializer).map_err(|error| without_line(&error))?;
    deserializer.end().map_err(|error| without_line(&error))?;
    dynamic.transcode_to().map_err(|error| error.to_string())
}

/// The event's sid as far as a line that is not an event lets us see it.
pub fn sid(line: &[u8]) -> String {
    let value: Option<serde_json::Value> = serde_json::from_slice(line).ok();
    let sid = value.as_ref().and_then(|value| value.get("sid")?.as_str()).unwrap_or_default();
    sid.chars().take(crate::limits::ECHOED_SID_BYTES).collect()
}

/// Each line is a document of its own: that the trouble is in "line 1" of it says nothing.
fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(" at line ") {
        Some((what, _)) if error.column() > 0 => format!("{what} at column {}", error.column()),
        Some((what, _)) => what.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "EV00000000000000000000000000000001";

    #[test]
    fn events_may_be_written_in_both_cases_and_with_numbers() {
        let camel = format!(
            r#"{{"sid":"{SID}","type":"EVENT_TYPE_TASK_CREATED","timestamp":"2026-01-31T08:00:00.123Z","accountSid":"A",
            "task":{{"sid":"T","assignmentStatus":"TASK_ASSIGNMENT_STATUS_PENDING","version":"7","priority":-1}}}}"#
        );
        let snake = format!(
            r#"{{"sid":"{SID}","type":13,"timestamp":"2026-01-31T09:00:00.123+01:00","account_sid":"A",
            "task":{{"sid":"T","assignment_status":1,"version":7,"priority":-1}}}} "#
        );
        let event = super::event(camel.as_bytes()).unwrap();
        assert_eq!(event, super::event(snake.as_bytes()).unwrap());
        let task = event.task.as_ref().unwrap();
        assert_eq!((event.r#type, task.assignment_status, task.version, task.priority), (13, 1, 7, -1));
        assert_eq!(event.timestamp.unwrap().nanos, 123_000_000);
        assert_eq!(super::event(line("Event", &event).unwrap().as_bytes()).unwrap(), event);
    }

    #[test]
    fn rubbish_is_refused_with_a_reason() {
        for (line, why) in [
            ("", "EOF"),
            ("nonsense", "expected"),
            ("[]", "invalid type"),
            ("{\"sid\":", "EOF"),
            ("{\"sid\":1}", "invalid type"),
            ("{\"sidd\":\"EV\"}", "sidd"),
            ("{\"type\":\"EVENT_TYPE_NONE\"}", "EVENT_TYPE_NONE"),
            ("{\"timestamp\":\"yesterday\"}", "column"),
            ("{\"task\":{\"version\":1.5}}", "expected integer"),
            ("{} {}", "trailing"),
            ("{\"sid\":\"\u{1}\"}", "control character"),
        ] {
            let error = event(line.as_bytes()).unwrap_err();
            assert!(error.contains(why) && !error.contains("at line"), "{line}: {error}");
        }
        assert!(event(b"{\"sid\":\"\xff\"}").is_err());
        assert_eq!(sid(b"{\"sid\":\"EV1\",\"typ\":1}"), "EV1");
        assert_eq!(sid(b"{\"sid\":"), "");
    }

    #[test]
    fn an_answer_without_a_json_form_is_an_error() {
        let never = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
        let message = v1::Event { timestamp: Some(never), ..Default::default() };
        assert!(line("Event", &message).is_err());
    }

    #[test]
    fn maps_are_in_the_order_of_their_keys_and_fields_in_that_of_the_contract() {
        let priorities = [10, -2, 5, 0, 100, 9].map(|priority| (priority, 1));
        let realtime = v1::WorkspaceRealtimeStatistics {
            tasks_by_priority: priorities.into_iter().collect(),
            ..Default::default()
        };
        let message = v1::WorkspaceStatistics { realtime: Some(realtime), ..Default::default() };
        let line = line("WorkspaceStatistics", &message).unwrap();
        let expected = r#""tasksByPriority":{"-2":"1","0":"1","5":"1","9":"1","10":"1","100":"1"},"totalTasks":"#;
        assert!(line.contains(expected), "{line}");
        assert!(line.starts_with(r#"{"accountSid":"","workspaceSid":"","url":"","realtime":{"accountSid":"#), "{line}");
    }

    #[test]
    fn answers_show_their_zeros_and_long_numbers_as_text() {
        let message = v1::TasksByStatus { pending: 3, ..Default::default() };
        let expected = r#"{"pending":"3","reserved":"0","assigned":"0","wrapping":"0","completed":"0","canceled":"0"}"#;
        assert_eq!(line("TasksByStatus", &message).unwrap(), expected);
    }
}
