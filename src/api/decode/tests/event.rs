use super::{at, batch, event, full, sid};
use crate::api::decode::{Refused, Unread};
use crate::api::proto::v1::{self, RejectionReason};
use crate::event::{Event, EventKind, Millis, TaskStatus};

const MISSING: RejectionReason = RejectionReason::MissingField;
const MALFORMED: RejectionReason = RejectionReason::MalformedField;
const UNKNOWN: RejectionReason = RejectionReason::UnknownType;

fn read(message: v1::Event) -> Result<Event, (RejectionReason, &'static str)> {
    event(&message).map_err(|Refused { reason, field, .. }| (reason, field))
}

fn number(name: &str) -> i32 {
    EventKind::ALL.into_iter().find(|kind| kind.name() == name).unwrap().number().into()
}

fn named(name: &str) -> v1::Event {
    full(number(name))
}

/// Every field that can be absent, in the order of the contract's tables.
const FIELDS: [&str; 26] = [
    "sid",
    "type",
    "timestamp",
    "account_sid",
    "workspace_sid",
    "task",
    "task.sid",
    "task.date_created",
    "task.assignment_status",
    "task.task_channel_unique_name",
    "task.task_channel_sid",
    "task.task_queue_sid",
    "task.task_queue_name",
    "task.task_queue_entered_date",
    "task.workflow_sid",
    "task.workflow_name",
    "reservation",
    "reservation.sid",
    "worker",
    "worker.sid",
    "worker.friendly_name",
    "worker.activity_sid",
    "worker.activity_name",
    "activity",
    "activity.sid",
    "activity.friendly_name",
];

fn remove(message: &mut v1::Event, field: &str) {
    let v1::Event { task, reservation, worker, activity, .. } = message;
    match (field, task, reservation, worker, activity) {
        ("sid", ..) => message.sid.clear(),
        ("type", ..) => message.r#type = 0,
        ("timestamp", ..) => message.timestamp = None,
        ("account_sid", ..) => message.account_sid.clear(),
        ("workspace_sid", ..) => message.workspace_sid.clear(),
        ("task", group, ..) => *group = None,
        ("reservation", _, group, ..) => *group = None,
        ("worker", _, _, group, _) => *group = None,
        ("activity", .., group) => *group = None,
        ("task.sid", Some(task), ..) => task.sid.clear(),
        ("task.date_created", Some(task), ..) => task.date_created = None,
        ("task.assignment_status", Some(task), ..) => task.assignment_status = 0,
        ("task.task_channel_unique_name", Some(task), ..) => task.task_channel_unique_name.clear(),
        ("task.task_channel_sid", Some(task), ..) => task.task_channel_sid.clear(),
        ("task.task_queue_sid", Some(task), ..) => task.task_queue_sid.clear(),
        ("task.task_queue_name", Some(task), ..) => task.task_queue_name.clear(),
        ("task.task_queue_entered_date", Some(task), ..) => task.task_queue_entered_date = None,
        ("task.workflow_sid", Some(task), ..) => task.workflow_sid.clear(),
        ("task.workflow_name", Some(task), ..) => task.workflow_name.clear(),
        ("reservation.sid", _, Some(reservation), ..) => reservation.sid.clear(),
        ("worker.sid", _, _, Some(worker), _) => worker.sid.clear(),
        ("worker.friendly_name", _, _, Some(worker), _) => worker.friendly_name.clear(),
        ("worker.activity_sid", _, _, Some(worker), _) => worker.activity_sid.clear(),
        ("worker.activity_name", _, _, Some(worker), _) => worker.activity_name.clear(),
        ("activity.sid", .., Some(activity)) => activity.sid.clear(),
        ("activity.friendly_name", .., Some(activity)) => activity.friendly_name.clear(),
        (field, ..) => panic!("{field}"),
    }
}

/// Every field that can be malformed, in the order of the contract's tables.
const SPOILABLE: [&str; 16] = [
    "sid",
    "timestamp",
    "account_sid",
    "workspace_sid",
    "task.sid",
    "task.date_created",
    "task.assignment_status",
    "task.task_channel_sid",
    "task.task_queue_sid",
    "task.task_queue_entered_date",
    "task.workflow_sid",
    "reservation.sid",
    "worker.sid",
    "worker.activity_sid",
    "activity.sid",
    "type",
];

fn spoil(message: &mut v1::Event, field: &str) {
    let v1::Event { task, reservation, worker, activity, .. } = message;
    let text = match (field, task, reservation, worker, activity) {
        ("type", ..) => return message.r#type = 50,
        ("timestamp", ..) => return message.timestamp = at(253_402_300_800),
        ("task.date_created", Some(task), ..) => return task.date_created = at(-62_135_596_801),
        ("task.assignment_status", Some(task), ..) => return task.assignment_status = 7,
        ("task.task_queue_entered_date", Some(task), ..) => return task.task_queue_entered_date = at(i64::MAX),
        ("sid", ..) => &mut message.sid,
        ("account_sid", ..) => &mut message.account_sid,
        ("workspace_sid", ..) => &mut message.workspace_sid,
        ("task.sid", Some(task), ..) => &mut task.sid,
        ("task.task_channel_sid", Some(task), ..) => &mut task.task_channel_sid,
        ("task.task_queue_sid", Some(task), ..) => &mut task.task_queue_sid,
        ("task.workflow_sid", Some(task), ..) => &mut task.workflow_sid,
        ("reservation.sid", _, Some(reservation), ..) => &mut reservation.sid,
        ("worker.sid", _, _, Some(worker), _) => &mut worker.sid,
        ("worker.activity_sid", _, _, Some(worker), _) => &mut worker.activity_sid,
        ("activity.sid", .., Some(activity)) => &mut activity.sid,
        (field, ..) => panic!("{field}"),
    };
    *text = sid("XX", '0');
}

/// The groups that a type carries, written afresh from the contract's words.
fn carries(name: &str, group: &str) -> bool {
    let (family, _) = name.split_once('.').unwrap();
    let routed = ["task-queue.entered", "task-queue.moved", "task-queue.timeout", "workflow.target-matched"];
    let routed = routed.contains(&name) || ["workflow.entered", "workflow.timeout", "workflow.skipped"].contains(&name);
    let reserved = family == "reservation" && name != "reservation.failed";
    match group {
        "task" => family == "task" || family == "reservation" || routed,
        "reservation" => reserved,
        "worker" => family == "worker" || reserved,
        "activity" => family == "activity",
        always => !always.contains('.'),
    }
}

/// The fields that a type requires, likewise.
fn requires(name: &str) -> Vec<&'static str> {
    let mut fields = vec!["sid", "type", "timestamp", "account_sid", "workspace_sid"];
    if carries(name, "task") {
        fields.push("task.sid");
        if name != "task.deleted" && name != "task.system-deleted" {
            fields.extend(["task.date_created", "task.assignment_status", "task.task_channel_unique_name"]);
        }
    }
    if carries(name, "reservation") {
        fields.push("reservation.sid");
    }
    fields.extend(match name {
        "worker.created" | "worker.activity.update" => ["worker.sid", "worker.activity_sid"].as_slice(),
        "worker.deleted" => &["worker.sid"],
        "activity.created" | "activity.updated" => &["activity.sid", "activity.friendly_name"],
        "activity.deleted" => &["activity.sid"],
        _ => &[],
    });
    fields
}

#[test]
fn each_of_the_49_types_keeps_the_groups_it_carries_and_ignores_the_others() {
    for kind in EventKind::ALL {
        let name = kind.name();
        let read = read(named(name)).unwrap();
        assert_eq!(read.kind, kind);
        assert_eq!(read.task.is_some(), carries(name, "task"), "{name}");
        assert_eq!(read.reservation.is_some(), carries(name, "reservation"), "{name}");
        assert_eq!(read.worker.is_some(), carries(name, "worker"), "{name}");
        assert_eq!(read.activity.is_some(), carries(name, "activity"), "{name}");
    }
}

#[test]
fn each_of_the_49_types_misses_exactly_what_it_requires() {
    for name in EventKind::ALL.map(EventKind::name) {
        let required = requires(name);
        for field in FIELDS {
            let mut message = named(name);
            remove(&mut message, field);
            // A missing group reports its first required field.
            let missing =
                required.iter().find(|required| **required == field || required.starts_with(&format!("{field}.")));
            match missing {
                Some(missing) => assert_eq!(read(message), Err((MISSING, *missing)), "{name} without {field}"),
                None => assert!(read(message).is_ok(), "{name} without {field}"),
            }
        }
    }
}

#[test]
fn each_of_the_49_types_refuses_what_is_malformed_in_the_groups_it_carries_only() {
    for name in EventKind::ALL.map(EventKind::name) {
        for field in SPOILABLE {
            let mut message = named(name);
            spoil(&mut message, field);
            let group = field.split_once('.').map_or(field, |(group, _)| group);
            match field {
                "type" => assert_eq!(read(message), Err((UNKNOWN, "type"))),
                field if carries(name, group) => assert_eq!(read(message), Err((MALFORMED, field)), "{name}"),
                field => assert!(read(message).is_ok(), "{name} with a bad {field}"),
            }
        }
    }
}

#[test]
fn missing_comes_before_malformed_before_unknown_each_in_the_order_of_the_tables() {
    let name = "reservation.accepted";
    // Everything bad at once, then repaired from the front: each next fault is the next in order.
    let carried = |field: &&str| requires(name).contains(field);
    let mut expected: Vec<_> = FIELDS.into_iter().filter(carried).map(|field| (MISSING, field)).collect();
    for (done, &(_, field)) in expected.iter().enumerate() {
        let mut message = named(name);
        spoil(&mut message, "worker.activity_sid");
        expected[done..].iter().for_each(|(_, field)| remove(&mut message, field));
        assert_eq!(read(message), Err((MISSING, field)));
    }
    expected = SPOILABLE.into_iter().filter(|field| !field.starts_with("activity")).map(|f| (MALFORMED, f)).collect();
    expected.pop();
    for (done, &(_, field)) in expected.iter().enumerate() {
        let mut message = named(name);
        expected[done..].iter().for_each(|(_, field)| spoil(&mut message, field));
        assert_eq!(read(message), Err((MALFORMED, field)));
    }
}

#[test]
fn an_unknown_type_is_said_after_the_always_group_and_judges_no_other_group() {
    for unknown in [-1, 50, i32::MAX, i32::MIN] {
        let mut message = v1::Event { task: None, reservation: None, worker: None, activity: None, ..full(unknown) };
        assert_eq!(read(message.clone()), Err((UNKNOWN, "type")));
        spoil(&mut message, "workspace_sid");
        assert_eq!(read(message.clone()), Err((MALFORMED, "workspace_sid")));
        remove(&mut message, "workspace_sid");
        assert_eq!(read(message), Err((MISSING, "workspace_sid")));
        let mut message = full(unknown);
        spoil(&mut message, "task.sid");
        assert_eq!(read(message), Err((UNKNOWN, "type")));
    }
}

#[test]
fn every_field_arrives() {
    let event = read(named("reservation.created")).unwrap();
    assert_eq!(event.sid.to_string(), sid("EV", '1'));
    assert_eq!(event.at, Millis(1_800_000_000_123), "cut to milliseconds");
    assert_eq!(event.account.to_string(), sid("AC", '2'));
    assert_eq!(event.workspace.to_string(), sid("WS", '3'));
    let task = event.task.unwrap();
    assert_eq!(task.sid.to_string(), sid("WT", '4'));
    assert_eq!(task.date_created, Some(Millis(1_799_999_000_000)));
    assert_eq!(task.status, Some(TaskStatus::Reserved));
    assert_eq!((task.priority, task.version), (-7, 8));
    assert_eq!(task.channel_name.as_deref(), Some("voice"));
    assert_eq!(task.channel_sid.unwrap().to_string(), sid("TC", '5'));
    assert_eq!(task.queue_sid.unwrap().to_string(), sid("WQ", '6'));
    assert_eq!(task.queue_name.as_deref(), Some("Sales"));
    assert_eq!(task.queue_entered, Some(Millis(1_799_999_500_000)));
    assert_eq!(task.workflow_sid.unwrap().to_string(), sid("WW", '7'));
    assert_eq!(task.workflow_name.as_deref(), Some("Default"));
    let reservation = event.reservation.unwrap();
    assert_eq!((reservation.sid.to_string(), reservation.version), (sid("WR", '8'), 3));
    let worker = event.worker.unwrap();
    assert_eq!((worker.sid.to_string(), worker.version), (sid("WK", '9'), 5));
    assert_eq!((worker.name.as_deref(), worker.activity_name.as_deref()), (Some("Ann"), Some("Busy")));
    assert_eq!(worker.activity_sid.unwrap().to_string(), sid("WA", 'a'));
    let activity = read(named("activity.deleted")).unwrap().activity.unwrap();
    assert_eq!(activity.sid.to_string(), sid("WA", 'b'));
    assert_eq!((activity.name.as_deref(), activity.available), (Some("Idle"), Some(true)));
}

#[test]
fn a_deletion_needs_only_the_sid_of_its_task_but_what_it_states_must_be_well_formed() {
    for name in ["task.deleted", "task.system-deleted"] {
        let mut message = named(name);
        message.task = Some(v1::Task { sid: sid("WT", '4'), ..v1::Task::default() });
        let task = read(message.clone()).unwrap().task.unwrap();
        assert_eq!((task.date_created, task.status, task.channel_name), (None, None, None));
        message.task.as_mut().unwrap().assignment_status = 9;
        assert_eq!(read(message), Err((MALFORMED, "task.assignment_status")));
    }
}

#[test]
fn a_worker_without_a_sid_is_no_worker_where_none_is_required() {
    for name in ["worker.attributes.update", "reservation.accepted"] {
        let mut message = named(name);
        remove(&mut message, "worker.sid");
        assert_eq!(read(message.clone()).unwrap().worker, None);
        spoil(&mut message, "worker.activity_sid");
        assert_eq!(read(message), Err((MALFORMED, "worker.activity_sid")));
    }
}

#[test]
fn a_timestamp_is_good_within_its_own_range_only_nanos_too() {
    let with = |seconds, nanos| {
        let mut message = named("workspace.created");
        message.timestamp = Some(prost_types::Timestamp { seconds, nanos });
        read(message).map(|event| event.at)
    };
    assert_eq!(with(253_402_300_799, 999_999_999), Ok(Millis::MAX));
    assert_eq!(with(-62_135_596_800, 0), Ok(Millis::MIN));
    assert_eq!(with(0, 0), Ok(Millis(0)), "an all-default timestamp is present");
    for (seconds, nanos) in [(253_402_300_800, 0), (-62_135_596_801, 0), (0, -1), (0, 1_000_000_000), (i64::MIN, 0)] {
        assert_eq!(with(seconds, nanos), Err((MALFORMED, "timestamp")));
    }
}

#[test]
fn a_message_names_the_field_and_the_rule() {
    let mut message = named("task.created");
    spoil(&mut message, "task.sid");
    assert_eq!(event(&message).unwrap_err().message, "task.sid: must be WT followed by 32 hexadecimal digits");
}

#[test]
fn a_batch_keeps_the_index_and_the_sid_as_sent_of_each_event() {
    let mut bad = named("task.created");
    bad.sid = "EVxyz".into();
    let mut upper = named("task.created");
    upper.sid = sid("EV", 'F');
    let request = v1::IngestEventsRequest { events: vec![named("task.created"), bad, upper] };
    let read = batch(&request).unwrap();
    assert_eq!(read.events.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(read.refused.len(), 1);
    assert_eq!((read.refused[0].0, read.refused[0].1.field), (1, "sid"));
    assert_eq!([0, 1, 2].map(|index| read.sids.get(index)), [&sid("EV", '1'), "EVxyz", &sid("EV", 'F')]);
    assert_eq!(read.sids.get(3), "");
    let encoded = prost::Message::encode_to_vec(&request).into();
    assert_eq!(crate::api::decode::batch(&encoded, 2).unwrap_err(), Unread::TooMany { sent: 3 });
}

/// The wire's numbers are the vocabulary's, by name.
#[test]
fn the_enums_of_the_contract_are_those_of_the_vocabulary() {
    for kind in EventKind::ALL {
        let wire = v1::EventType::try_from(i32::from(kind.number())).unwrap().as_str_name();
        assert_eq!(wire, format!("EVENT_TYPE_{}", kind.name().to_uppercase().replace(['.', '-'], "_")));
    }
    assert!(v1::EventType::try_from(50).is_err());
    for status in TaskStatus::ALL {
        let wire = v1::TaskAssignmentStatus::try_from(status as i32).unwrap().as_str_name();
        assert_eq!(wire, format!("TASK_ASSIGNMENT_STATUS_{}", status.name().to_uppercase()));
    }
    assert!(v1::TaskAssignmentStatus::try_from(7).is_err());
}

#[test]
fn events_are_counted_before_room_is_made_for_them() {
    // So many events with nothing in them, two bytes each, then a field that a later version adds.
    let read = |events: usize, most| {
        let body = [&[0x0a, 0].repeat(events)[..], &[0x10, 0x05]].concat();
        crate::api::decode::batch(&body.into(), most)
    };
    for count in [0, 1, 3, 20_000] {
        assert_eq!(read(count, 20_000).unwrap().refused.len(), count);
    }
    for count in [20_001, 2 << 20] {
        assert_eq!(read(count, 20_000).unwrap_err(), Unread::TooMany { sent: count });
    }
}

#[test]
fn what_is_no_message_is_an_error() {
    for body in [&[0xff; 10][..], &[0x0a, 0x05, 0x00], &[0x0a], &[0x0a, 0x02, 0x0a, 0x05]] {
        let read = crate::api::decode::batch(&bytes::Bytes::copy_from_slice(body), 10);
        assert!(matches!(read, Err(Unread::NotTheMessage(_))), "{body:x?}");
    }
}
