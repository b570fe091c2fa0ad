//! Event Streams: CloudEvents 1.0 with the event under `data.payload`.
//!
//! Two fields name the type: the envelope's `type` (`com.twilio.taskrouter.task.canceled`) and the payload's
//! `eventtype`. Where they differ the envelope's counts: it is what the sender's subscriptions select by, and what
//! CloudEvents has for it, while the vendor's own example has the same `eventtype` under every `type`. The payload's is
//! read where the envelope has none.

use chrono::SecondsFormat;
use serde::Deserialize;
use serde::de::{DeserializeSeed as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::field::{Place, TABLE};
use super::identity::Identity;
use super::json::{AN_OBJECT, Into, Name, Object, scalar};
use super::value::{Scalar, Sheet, as_text, iso_text, kind_name, millis, status_name};
use super::{Form, Reading, Unreadable, field};
use crate::api::proto::v1;

/// What the types of the task router begin with.
const TYPES: &str = "com.twilio.taskrouter.";

/// The rows of the table that are read here by themselves.
const SID: usize = 0;
const TYPE: usize = 1;

/// The events of a body: one object, a list, or one object after the other, as lines or otherwise.
///
/// # Errors
/// The body is none of these, or has more than so many events.
pub fn split(body: &[u8], most: usize) -> Result<Vec<&RawValue>, Unreadable> {
    let text = std::str::from_utf8(body).map_err(|_| Unreadable::NotUtf8)?;
    let text = text.trim_ascii_start();
    if text.is_empty() {
        return Err(Unreadable::Empty);
    }
    let mut events = Vec::new();
    if text.starts_with('[') {
        let mut json = serde_json::Deserializer::from_str(text);
        let list = List { events: &mut events, most };
        let whole = serde::Deserializer::deserialize_seq(&mut json, list).and_then(|whole| json.end().map(|()| whole));
        return if whole.map_err(not_json)? { Ok(events) } else { Err(Unreadable::TooManyEvents { most }) };
    }
    for event in serde_json::Deserializer::from_str(text).into_iter() {
        if events.len() == most {
            return Err(Unreadable::TooManyEvents { most });
        }
        events.push(event.map_err(not_json)?);
    }
    Ok(events)
}

fn not_json(error: serde_json::Error) -> Unreadable {
    Unreadable::NotJson(error.to_string())
}

/// Takes the values of a list up to a bound; answers whether that was all.
struct List<'t, 'de> {
    events: &'t mut Vec<&'de RawValue>,
    most: usize,
}

impl<'de> Visitor<'de> for List<'_, 'de> {
    type Value = bool;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        while let Some(event) = list.next_element()? {
            if self.events.len() == self.most {
                // What is left is read past, so that what is no list at all is said first.
                while list.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                return Ok(false);
            }
            self.events.push(event);
        }
        Ok(true)
    }
}

/// Reads one CloudEvent.
///
/// # Errors
/// It is no JSON object, or holds no event.
pub fn read(event: &str) -> Result<Reading, Unreadable> {
    let mut envelope = Envelope { kind: None, data: None, content: Content::default() };
    let mut json = serde_json::Deserializer::from_str(event);
    let root = Into(&mut envelope).deserialize(&mut json).and_then(|root| json.end().map(|()| root));
    if root.map_err(not_json)? != Some(AN_OBJECT) {
        return Err(Unreadable::NotAnObject { what: "the event" });
    }
    let Envelope { kind, data, content } = envelope;
    let foreign = matches!(&kind, Some(Scalar::Text(kind)) if !kind.starts_with(TYPES) && !kind.is_empty());
    for (what, is_object) in [("data", data == Some(AN_OBJECT)), ("data.payload", content.has_payload)] {
        if !is_object && !foreign {
            return Err(Unreadable::NotAnObject { what });
        }
    }
    let mut sheet = content.payload.sheet;
    if kind.is_some() {
        sheet.0[TYPE] = kind.map(without_prefix);
    }
    sheet.or(content.beside);
    let is_nameless = !sheet.has(SID);
    let mut reading = sheet.read(Form::Stream);
    reading.is_foreign = foreign;
    if is_nameless && !foreign {
        reading.event.sid = identity(event)?;
    }
    Ok(reading)
}

fn without_prefix(kind: Scalar<'_>) -> Scalar<'_> {
    match kind {
        Scalar::Text(text) => Scalar::Text(match text.strip_prefix(TYPES) {
            Some(name) => name.to_owned().into(),
            None => text,
        }),
        other => other,
    }
}

/// What the sid of a CloudEvent without one is: made from its payload and its type. Its own `id` is of the delivery.
fn identity(event: &str) -> Result<String, Unreadable> {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow, rename = "type")]
        kind: Option<&'a RawValue>,
        #[serde(borrow)]
        data: Data<'a>,
    }
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        payload: Fields<'a>,
    }
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Fields<'a>(#[serde(borrow)] &'a RawValue);

    let Event { kind, data } = serde_json::from_str(event).map_err(not_json)?;
    let mut identity = Identity::default();
    identity.add("", kind.map_or("", RawValue::get));
    let mut json = serde_json::Deserializer::from_str(data.payload.0.get());
    serde::Deserializer::deserialize_map(&mut json, Summed(&mut identity)).map_err(not_json)?;
    Ok(identity.sid())
}

/// Adds each field of an object.
struct Summed<'t>(&'t mut Identity);

impl<'de> Visitor<'de> for Summed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            self.0.add(&name, map.next_value::<&RawValue>()?.get());
        }
        Ok(())
    }
}

struct Envelope<'de> {
    kind: Option<Scalar<'de>>,
    data: Option<Scalar<'de>>,
    content: Content<'de>,
}

#[derive(Default)]
struct Content<'de> {
    has_payload: bool,
    payload: Payload<'de>,
    /// What `data` says beside its payload.
    beside: Sheet<'de>,
}

#[derive(Default)]
pub(super) struct Payload<'de> {
    pub sheet: Sheet<'de>,
}

impl<'de> Object<'de> for Envelope<'de> {
    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => self.kind = scalar(map)?,
            "data" => self.data = map.next_value_seed(Into(&mut self.content))?,
            _ => drop(scalar(map)?),
        }
        Ok(())
    }
}

impl<'de> Object<'de> for Content<'de> {
    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "payload" => self.has_payload = map.next_value_seed(Into(&mut self.payload))? == Some(AN_OBJECT),
            "sid" | "account_sid" | "timestamp" => {
                if let Some(row) = field::of_snake(name) {
                    self.beside.0[row] = scalar(map)?;
                }
            }
            _ => drop(scalar(map)?),
        }
        Ok(())
    }
}

impl<'de> Object<'de> for Payload<'de> {
    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let value = scalar(map)?;
        if let Some(row) = field::of_snake(name) {
            self.sheet.0[row] = value;
        }
        Ok(())
    }
}

/// The CloudEvent that tells of this event.
pub fn write(event: &v1::Event) -> Value {
    let mut event = event.clone();
    let mut payload = Map::new();
    for (row, field) in TABLE.iter().enumerate() {
        // The payload's own spelling: the envelope names the type, too.
        let name = if row == TYPE { "eventtype" } else { field.spelled(Form::Stream) };
        if field.is_there(&event)
            && let Some(value) = as_value((field.place)(&mut event))
        {
            payload.insert(name.to_owned(), value);
        }
    }
    let kind = kind_name(event.r#type).unwrap_or_default();
    let (account, sid) = (&event.account_sid, &event.sid);
    let time = payload.get("timestamp").cloned();
    json!({
        "specversion": "1.0",
        "type": format!("{TYPES}{kind}"),
        "source": &event.workspace_sid,
        "id": sid,
        "time": time,
        "datacontenttype": "application/json",
        "dataschema": "https://events-schemas.twilio.com/TaskRouter.WDSEvent/4",
        "data": {
            "sid": sid,
            "account_sid": account,
            "timestamp": time,
            "level": "INFO",
            "group": kind.split('.').next(),
            "product_name": "TaskRouter",
            "payload_type": "application/json",
            "payload": payload,
        },
    })
}

/// With real numbers and times to the millisecond.
fn as_value(place: Place<'_>) -> Option<Value> {
    match place {
        Place::Time(time) => iso_text(millis(time)?, SecondsFormat::Millis).map(Value::from),
        // The time is there with its milliseconds already.
        Place::TimeMs(_) => None,
        Place::Priority(number) => Some(Value::from(*number)),
        Place::Version(number) => Some(Value::from(*number)),
        Place::Flag(flag) => flag.map(Value::from),
        Place::Status(status) => status_name(*status).map(Value::from),
        Place::Kind(kind) => kind_name(*kind).map(Value::from),
        text @ Place::Text(_) => as_text(text).map(Value::from),
    }
}
