//! Payloads that people captured or that the vendor's documentation prints, their sids filled in where they were struck
//! out.

use serde_json::{Value, json};

use super::sid;
use crate::event::{ActivitySid, Event, EventKind, EventSid, Millis, TaskStatus, WorkerSid, WorkspaceSid};
use crate::taskrouter::{callback, cloud, judge};

/// The fields as the wire has them.
fn form(fields: &Value) -> String {
    let pairs = fields.as_object().unwrap().iter();
    let pairs: Vec<(String, String)> =
        pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
    callback::encode(&pairs)
}

fn judged(fields: &Value) -> Event {
    judge(callback::read(form(fields).as_bytes()).unwrap()).unwrap()
}

#[test]
fn a_queue_that_is_created() {
    let event = judged(&json!({
        "EventType": "task-queue.created",
        "ResourceType": "taskqueue",
        "TaskQueueName": "MyTestQueue",
        "Timestamp": "1692644679",
        "AccountSid": sid("AC", 1),
        "Sid": sid("EV", 2),
        "TimestampMs": "1692644679861",
        "TaskQueueTargetExpression": "1==1",
        "WorkspaceSid": sid("WS", 3),
        "WorkspaceName": "Flex Task Assignment",
        "TaskQueueSid": sid("WQ", 4),
        "OperatingUnitSid": sid("OU", 5),
        "EventDescription": "TaskQueue WQ... created",
        "ResourceSid": sid("WQ", 4),
    }));
    assert_eq!((event.kind, event.at), (EventKind::TaskQueueCreated, Millis(1_692_644_679_861)));
    assert_eq!(event.task, None, "the queue's own name is not that of a task");
}

#[test]
fn an_expression_with_quotes_and_a_malformed_sid_that_nobody_reads() {
    let event = judged(&json!({
        "EventType": "task-queue.expression.updated",
        "TaskQueueName": "MyQueueName",
        "Timestamp": "1692816604",
        "AccountSid": sid("AC", 1),
        "Sid": sid("EV", 2),
        "TimestampMs": "1692816604478",
        "TaskQueueTargetExpression": "routing.skills HAS 'billing'",
        "WorkspaceSid": sid("WS", 3),
        "TaskQueueSid": "WQ...",
        "EventDescription": "TaskQueue WQ... expression updated to 'routing.skills HAS 'billing''",
        "ResourceSid": "WQ..",
    }));
    assert_eq!(event.kind, EventKind::TaskQueueExpressionUpdated);
}

#[test]
fn a_worker_whose_attributes_are_json_in_a_form() {
    let attributes = r#"{"routing":{"skills":[]},"full_name":"Bugs Bunny","image_url":"https:\/\/x.example\/a?d=mp"}"#;
    let event = judged(&json!({
        "WorkerActivityName": "Offline",
        "EventType": "worker.attributes.update",
        "Timestamp": "1692625512",
        "WorkerActivitySid": sid("WA", 7),
        "AccountSid": sid("AC", 1),
        "WorkerName": "jhunter",
        "Sid": sid("EV", 2),
        "TimestampMs": "1692625512203",
        "WorkerVersion": "23",
        "WorkerSid": sid("WK", 8),
        "WorkspaceSid": sid("WS", 3),
        "EventDescription": format!("Worker <worker-name> updated attributes to {attributes}"),
        "WorkerAttributes": attributes,
    }));
    let worker = event.worker.unwrap();
    assert_eq!((worker.version, worker.name.as_deref()), (23, Some("jhunter")));
    assert_eq!(worker.activity_sid, Some(ActivitySid::parse(&sid("WA", 7)).unwrap()));
}

#[test]
fn a_worker_that_is_created() {
    let event = judged(&json!({
        "WorkerActivityName": "Offline",
        "EventType": "worker.created",
        "Timestamp": "1692642403",
        "WorkerActivitySid": sid("WA", 7),
        "AccountSid": sid("AC", 1),
        "WorkerName": "test",
        "Sid": sid("EV", 2),
        "TimestampMs": "1692642403000",
        "WorkerVersion": "0",
        "WorkerSid": sid("WK", 8),
        "WorkspaceSid": "WSdb437c2540b6c5e1cc647f17bfb56178",
        "WorkerAttributes": "{}",
    }));
    assert_eq!(event.workspace, WorkspaceSid::parse("WSDB437C2540B6C5E1CC647F17BFB56178").unwrap());
    let worker = event.worker.unwrap();
    assert_eq!((worker.sid, worker.version), (WorkerSid::parse(&sid("WK", 8)).unwrap(), 0));
    assert_eq!(worker.activity_name.as_deref(), Some("Offline"));
}

/// The documentation's one example, which has the same payload under every type.
fn documented(kind: &str) -> Value {
    json!({
        "specversion": "1.0",
        "type": kind,
        "source": "AB00000000000000000000000001",
        "id": "NO00000000000000000000000001",
        "dataschema": "https://events-schemas.twilio.com/TaskRouter.WDSEvent/4",
        "datacontenttype": "2025-10-08T07:17:02.363Z",
        "data": {
            "sid": sid("EV", 1),
            "name": "ReservationCreated",
            "account_sid": sid("AC", 1),
            "timestamp": "2025-01-01T00:00:00.000Z",
            "level": "INFO",
            "group": "reservation",
            "product_name": "TaskRouter",
            "publisher_metadata": "{}",
            "payload_type": "application/json",
            "payload": {
                "sid": sid("EV", 1),
                "eventtype": "reservation.created",
                "account_sid": sid("AC", 1),
                "timestamp": "2025-01-01T00:00:00.000Z",
                "workspace_sid": sid("WS", 1),
                "task_sid": sid("WT", 1),
                "task_attributes": "{}",
                "task_age": 31088,
                "task_date_created": "2025-01-01T00:00:00.000Z",
                "task_priority": 1,
                "task_assignment_status": "reserved",
                "task_canceled_reason": "hangup",
                "task_channel_unique_name": "voice",
                "worker_available": true,
            },
        },
    })
}

#[test]
fn the_documented_stream_event_is_of_the_type_that_its_envelope_names() {
    let event = judge(cloud::read(&documented("com.twilio.taskrouter.task.canceled").to_string()).unwrap()).unwrap();
    assert_eq!(event.kind, EventKind::TaskCanceled);
    assert_eq!((event.at, event.sid), (Millis(1_735_689_600_000), EventSid::parse(&sid("EV", 1)).unwrap()));
    let task = event.task.unwrap();
    assert_eq!((task.status, task.priority), (Some(TaskStatus::Reserved), 1));
    assert_eq!(task.date_created, Some(Millis(1_735_689_600_000)));
}

#[test]
fn where_the_envelope_names_no_type_the_payload_does() {
    let mut event = documented("");
    event["type"].take();
    event["data"]["payload"]["reservation_sid"] = sid("WR", 1).into();
    let judged = judge(cloud::read(&event.to_string()).unwrap()).unwrap();
    assert_eq!(judged.kind, EventKind::ReservationCreated);
}

#[test]
fn what_the_payload_lacks_its_wrapping_may_say() {
    let mut event = documented("com.twilio.taskrouter.task.canceled");
    for name in ["sid", "account_sid", "timestamp"] {
        event["data"]["payload"][name].take();
    }
    let whole = documented("com.twilio.taskrouter.task.canceled");
    let [lean, whole] = [event, whole].map(|event| judge(cloud::read(&event.to_string()).unwrap()).unwrap());
    assert_eq!(lean, whole);
}

#[test]
fn an_event_of_something_else_is_of_an_unknown_type_whatever_else_it_lacks() {
    let event = json!({
        "specversion": "1.0",
        "type": "com.twilio.apiusage.taskrouter.ratelimits",
        "data": {"account_sid": sid("AC", 1), "namespace": sid("WS", 1), "timestamp": "2025-01-01T00:00:00.000Z"},
    });
    let refused = judge(cloud::read(&event.to_string()).unwrap()).unwrap_err();
    assert_eq!((refused.reason.as_str_name(), refused.field), ("REJECTION_REASON_UNKNOWN_TYPE", "type"));
    assert!(refused.message.contains("com.twilio.apiusage.taskrouter.ratelimits"), "{}", refused.message);
}
