//! Seeds of the task router's own forms and of its signatures.

use serde_json::Value;
use tasktally::api::proto::v1;
use tasktally::taskrouter::{callback, cloud, rest, signature};

use super::seeds::{Seed, prefixed};

/// Of these events, and of what is odd about each form.
pub fn all(events: &[v1::Event]) -> Vec<Seed> {
    let of = |which: u8, rest: &[u8]| [&[which], rest].concat();
    let (first, last) = (&events[0], &events[events.len() - 1]);
    let form = |event: &v1::Event| callback::encode(&callback::write(event));
    let list = Value::from(events.iter().take(3).map(cloud::write).collect::<Vec<_>>()).to_string();
    let lines = format!("{}\n{}\n", cloud::write(first), cloud::write(last));
    let odd_form =
        "Sid=&EventType=worker.created&Timestamp=2026-09-01T00%3A00%3A00&TimestampMs=-1&a+b=%25%E2%82%AC&=&&x";
    let odd_stream = r#"[{"type":"com.twilio.taskrouter.activity.created","data":{"sid":null,"timestamp":1e3,"payload":
        {"activity_available":"true","activity_sid":[[{}]],"timestamp":1.5,"\u0061ccount_sid":7}}},5,{"type":"x"}]"#;
    let odd_resource = r#"{"event_type":"task.deleted","event_date_ms":"12","event_data":{"task_priority":"-7"}}"#;
    let url = "https://events.example.com:443/v1/events/callback?a=1";
    let signed = signature::of_form("0123456789abcdef", url, &callback::write(first));
    let signed = [prefixed(url.as_bytes()), prefixed(signed.as_bytes()), b"a=1&b=2".to_vec()].concat();
    let named = signature::naming_body("http://[::1]/x", b"[]");
    let named = [prefixed(named.as_bytes()), prefixed(b"AAAAAAAAAAAAAAAAAAAAAAAAAAA="), b"[]".to_vec()].concat();
    vec![
        ("forms", "callback", of(0, form(first).as_bytes())),
        ("forms", "callback-of-another-type", of(0, form(last).as_bytes())),
        ("forms", "callback-odd", of(0, odd_form.as_bytes())),
        ("forms", "stream-list", of(1, list.as_bytes())),
        ("forms", "stream-lines", of(1, lines.as_bytes())),
        ("forms", "stream-odd", of(1, odd_stream.as_bytes())),
        ("forms", "resource", of(2, rest::write(first).to_string().as_bytes())),
        ("forms", "resource-odd", of(2, odd_resource.as_bytes())),
        ("signature", "form", signed),
        ("signature", "body", named),
    ]
}
