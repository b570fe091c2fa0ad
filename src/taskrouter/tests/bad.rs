//! What is refused, and with which words.

use serde_json::{Value, json};

use super::sid;
use crate::api::decode::Refused;
use crate::api::proto::v1::RejectionReason;
use crate::taskrouter::{Unreadable, callback, cloud, judge, rest};

/// A reservation that is accepted, as a callback.
fn fields() -> Vec<(String, String)> {
    [
        ("EventType", "reservation.accepted"),
        ("AccountSid", &sid("AC", 1)),
        ("WorkspaceSid", &sid("WS", 1)),
        ("Sid", &sid("EV", 1)),
        ("Timestamp", "1692644679"),
        ("TimestampMs", "1692644679861"),
        ("TaskSid", &sid("WT", 1)),
        ("TaskDateCreated", "1692644600"),
        ("TaskAssignmentStatus", "assigned"),
        ("TaskPriority", "5"),
        ("TaskChannelUniqueName", "voice"),
        ("TaskAge", "79"),
        ("ReservationSid", &sid("WR", 1)),
        ("WorkerSid", &sid("WK", 1)),
        ("WorkerVersion", "7"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn with(name: &str, value: &str) -> Vec<(String, String)> {
    let mut fields = fields();
    fields.retain(|(other, _)| other != name);
    fields.push((name.to_owned(), value.to_owned()));
    fields
}

fn judged(fields: &[(String, String)]) -> Result<crate::event::Event, Refused> {
    judge(callback::read(callback::encode(fields).as_bytes()).unwrap())
}

fn refused(fields: &[(String, String)]) -> (RejectionReason, &'static str, String) {
    let Refused { reason, field, message } = judged(fields).unwrap_err();
    (reason, field, message)
}

#[test]
fn every_field_is_refused_as_its_sender_spells_it() {
    let malformed = RejectionReason::MalformedField;
    for (name, value, field, what) in [
        ("Sid", "EV12", "sid", "must be EV followed by 32 hexadecimal digits"),
        ("AccountSid", "AC", "account_sid", "must be AC"),
        ("WorkspaceSid", &sid("WQ", 1), "workspace_sid", "must be WS"),
        ("TaskSid", "x", "task.sid", "must be WT"),
        ("TimestampMs", "soon", "timestamp", r#"must be milliseconds since 1970 or ISO 8601"#),
        ("TimestampMs", "99999999999999999999", "timestamp", r#"not "99999999999999999999""#),
        ("Timestamp", "1692644679861", "timestamp", "must be seconds since 1970"),
        ("TaskDateCreated", "2025-13-01T00:00:00Z", "task.date_created", "ISO 8601"),
        ("TaskAssignmentStatus", "Assigned", "task.assignment_status", "must be one of pending, reserved, assigned"),
        ("TaskPriority", "5.5", "task.priority", "must be a whole number from -2147483648 to 2147483647"),
        ("TaskPriority", "2147483648", "task.priority", "must be a whole number"),
        ("TaskQueueEnteredDate", "-", "task.task_queue_entered_date", "must be seconds"),
        ("TaskQueueSid", "WQ", "task.task_queue_sid", "must be WQ"),
        ("ReservationSid", "WR", "reservation.sid", "must be WR"),
        ("WorkerVersion", "seven", "worker.version", "must be a whole number"),
        ("WorkerActivitySid", "?", "worker.activity_sid", "must be WA"),
    ] {
        let (reason, path, message) = refused(&with(name, value));
        assert_eq!((reason, path), (malformed, field), "{message}");
        assert!(message.starts_with(&format!("{name}: ")) && message.contains(what), "{name}: {message}");
    }
    let (reason, field, message) = refused(&with("TaskSid", ""));
    assert_eq!((reason, field), (RejectionReason::MissingField, "task.sid"));
    assert_eq!(message, "TaskSid is required");
    let (reason, field, message) = refused(&with("EventType", "task.exploded"));
    assert_eq!((reason, field), (RejectionReason::UnknownType, "type"));
    assert_eq!(message, r#"EventType: "task.exploded" is not a type of event that this version knows"#);
}

#[test]
fn of_several_reasons_the_first_in_the_documented_order_is_given() {
    let mut fields = with("TaskPriority", "high");
    fields.retain(|(name, _)| name != "ReservationSid");
    assert_eq!(refused(&fields).0, RejectionReason::MissingField, "what is missing comes before what is malformed");
    fields.push(("ReservationSid".to_owned(), "WR".to_owned()));
    assert_eq!(refused(&fields).1, "task.priority", "the order is that of the contract, whoever finds the fault");
    fields.push(("TaskQueueSid".to_owned(), "WQ".to_owned()));
    fields.retain(|(name, _)| name != "TaskPriority");
    assert_eq!(refused(&fields).1, "task.task_queue_sid");
    fields.retain(|(name, _)| name != "EventType" && name != "Timestamp");
    fields.extend([("EventType".to_owned(), "x".to_owned()), ("Timestamp".to_owned(), "x".to_owned())]);
    assert_eq!(refused(&fields).1, "timestamp", "the groups of an unknown type are not judged, its time is");
}

#[test]
fn what_a_type_does_not_carry_may_be_anything() {
    let mut fields = with("EventType", "workspace.updated");
    for (name, value) in &mut fields {
        if matches!(name.as_str(), "TaskPriority" | "TaskDateCreated" | "WorkerVersion") {
            "nonsense".clone_into(value);
        }
    }
    assert!(judged(&fields).is_ok());
}

#[test]
fn bodies_that_are_no_form_are_told_where_they_go_wrong() {
    let unreadable = |body: &[u8]| callback::read(body).unwrap_err();
    assert_eq!(unreadable(b"Sid=EV%2"), Unreadable::Percent { at: 6 });
    assert_eq!(unreadable(b"a=b&TaskSid=%zz"), Unreadable::Percent { at: 12 });
    assert_eq!(unreadable(b"%=b"), Unreadable::Percent { at: 0 });
    assert_eq!(unreadable(b"Sid=%ff%fe"), Unreadable::TextNotUtf8 { field: "\"Sid\"".to_owned() });
    assert_eq!(unreadable(b"S\xffid=1"), Unreadable::NotUtf8);
    assert_eq!(unreadable(b"Sid=1&x=2&Sid=1"), Unreadable::Twice { field: "Sid" });
    assert_eq!(unreadable("&a".repeat(1_001).as_bytes()), Unreadable::TooManyFields { most: 1_000 });
    assert!(callback::read(b"x=1&x=2&&=&a").is_ok(), "what is not ours may be as it likes");
}

#[test]
fn an_event_without_a_sid_gets_the_same_one_each_time_and_in_any_order() {
    let mut fields = fields();
    fields.retain(|(name, _)| name != "Sid");
    let of = |fields: &[(String, String)]| judged(fields).unwrap().sid;
    let first = of(&fields);
    assert_eq!(of(&fields), first);
    fields.reverse();
    assert_eq!(of(&fields), first, "the order is the sender's affair");
    fields[0].1 = "8".to_owned();
    assert_ne!(of(&fields), first, "another content is another event");

    let payload = |order: [&str; 2]| {
        let named = |name: &str| format!(r#""{name}":"{}""#, sid(if name == "account_sid" { "AC" } else { "WS" }, 1));
        format!(
            r#"{{"type":"com.twilio.taskrouter.workspace.updated","data":{{"payload":{{{},"timestamp":"2025-01-01T00:00:00Z",{}}}}}}}"#,
            named(order[0]),
            named(order[1])
        )
    };
    let of = |order| judge(cloud::read(&payload(order)).unwrap()).unwrap().sid;
    assert_eq!(of(["account_sid", "workspace_sid"]), of(["workspace_sid", "account_sid"]));
}

/// A stream's event with one field of its payload changed.
fn stream(name: &str, value: Value) -> String {
    let event = json!({
        "sid": sid("EV", 1), "account_sid": sid("AC", 1), "workspace_sid": sid("WS", 1),
        "timestamp": "2025-01-01T00:00:00.250Z", "activity_sid": sid("WA", 1), "activity_name": "Idle",
    });
    let mut event = json!({"type": "com.twilio.taskrouter.activity.updated", "data": {"payload": event}});
    event["data"]["payload"][name] = value;
    event.to_string()
}

#[test]
fn json_is_read_leniently_where_there_is_one_meaning_and_strictly_else() {
    let at = |value: Value| judge(cloud::read(&stream("timestamp", value)).unwrap()).map(|event| event.at.0);
    for (value, ms) in [
        (json!("2025-01-01T00:00:00.250Z"), 250),
        (json!("2025-01-01T01:00:00.25+01:00"), 250),
        (json!("2025-01-01T00:00:00"), 0),
        (json!(1_735_689_600), 0),
        (json!("1735689600"), 0),
    ] {
        assert_eq!(at(value.clone()).unwrap(), 1_735_689_600_000 + ms, "{value}");
    }
    for value in [json!(1.5), json!(1e300), json!(u64::MAX), json!(true), json!([1]), json!({"a": 1}), json!("1 Jan")] {
        let refused = at(value.clone()).unwrap_err();
        assert_eq!((refused.field, refused.reason), ("timestamp", RejectionReason::MalformedField), "{value}");
        assert!(refused.message.starts_with("timestamp: must be seconds"), "{}", refused.message);
    }
    let available = |value| judge(cloud::read(&stream("activity_available", value)).unwrap());
    let available = |value| available(value).map(|event| event.activity.unwrap().available);
    assert_eq!(available(json!("true")).unwrap(), Some(true));
    assert_eq!(available(json!(false)).unwrap(), Some(false));
    assert_eq!(available(json!(null)).unwrap(), None);
    assert!(available(json!(1)).unwrap_err().message.starts_with("activity_available: must be true or false, not 1"));
    let name = judge(cloud::read(&stream("activity_name", json!(7))).unwrap()).unwrap_err();
    assert_eq!(name.message, "activity_name: must be a text, not 7");
}

#[test]
fn a_stream_is_a_list_one_object_or_lines() {
    let split = |body: &str, most| cloud::split(body.as_bytes(), most).map(|events| events.len());
    assert_eq!(split("[{},{}]", 2), Ok(2));
    assert_eq!(split(" {} ", 2), Ok(1));
    assert_eq!(split("{}\n{}\r\n\n", 2), Ok(2));
    assert_eq!(split("[]", 2), Ok(0));
    for body in ["[{},{},{}]", "{}\n{}\n{}"] {
        assert_eq!(split(body, 2), Err(Unreadable::TooManyEvents { most: 2 }));
    }
    assert_eq!(split(" \n", 2), Err(Unreadable::Empty));
    assert_eq!(cloud::split(b"[\"\xff\"]", 2).unwrap_err(), Unreadable::NotUtf8);
    for body in ["[{}", "[{}] x", "{", "{}\n{", "nonsense", "[1,]", "{}}"] {
        assert!(matches!(split(body, 2), Err(Unreadable::NotJson(_))), "{body}");
    }
    for (event, what) in [
        ("5", "the event"),
        (r#"{"type":"com.twilio.taskrouter.task.created"}"#, "data"),
        (r#"{"data":{"payload":[]}}"#, "data.payload"),
    ] {
        assert_eq!(cloud::read(event), Err(Unreadable::NotAnObject { what }));
    }
}

#[test]
fn depth_and_size_cost_nothing_where_nobody_looks() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let event = stream("task_attributes", json!(null)).replace("null", &deep);
    assert!(judge(cloud::read(&event).unwrap()).is_ok(), "what is not known is read past");
    assert_eq!(cloud::split(event.as_bytes(), 1).unwrap().len(), 1);
    let giant = stream("activity_available", json!("?")).replace("\"?\"", &"9".repeat(400));
    let refused = cloud::read(&giant);
    assert!(matches!(refused, Err(Unreadable::NotJson(_))), "{refused:?}");
}

#[test]
fn a_resource_says_its_own_time_and_its_numbers_may_be_texts() {
    let resource = |event_date_ms: Value| {
        json!({
            "sid": sid("EV", 1), "account_sid": sid("AC", 1), "event_type": "task.deleted",
            "event_date": "2025-01-01T00:00:00Z", "event_date_ms": event_date_ms,
            "event_data": {"workspace_sid": sid("WS", 1), "task_sid": sid("WT", 1), "task_priority": "7", "timestamp": "1"},
        })
    };
    let event = judge(rest::read(&resource(json!(1_735_689_600_123i64))).unwrap()).unwrap();
    assert_eq!((event.at.0, event.task.unwrap().priority), (1_735_689_600_123, 7));
    let event = judge(rest::read(&resource(json!(null))).unwrap()).unwrap();
    assert_eq!(event.at.0, 1_735_689_600_000);
    let refused = judge(rest::read(&resource(json!("x"))).unwrap()).unwrap_err();
    assert!(refused.message.starts_with("event_date_ms: must be milliseconds"), "{}", refused.message);
    let mut nameless = resource(json!(1));
    nameless["sid"].take();
    assert_eq!(judge(rest::read(&nameless).unwrap()).unwrap_err().message, "sid is required");
    nameless["event_data"] = json!("text");
    assert_eq!(rest::read(&nameless), Err(Unreadable::NotAnObject { what: "event_data" }));
}
