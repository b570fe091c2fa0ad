//! The Event resource of the REST Events API: what is always there beside `event_data`, the rest within it, with numbers
//! as texts.

use chrono::SecondsFormat;
use serde::de::{DeserializeSeed as _, MapAccess};
use serde_json::{Map, Value, json};

use super::cloud::Payload;
use super::field::TABLE;
use super::json::{AN_OBJECT, Into, Object, scalar};
use super::value::{Scalar, Sheet, as_text, iso_text, kind_name, millis};
use super::{Form, Reading, Unreadable, field};
use crate::api::proto::v1;

/// Reads one Event resource. Its sid is what the API lists it by, so that one without is refused rather than named.
///
/// # Errors
/// It is no object, or its `event_data` is none.
pub fn read(resource: &Value) -> Result<Reading, Unreadable> {
    let mut event = Resource::default();
    let root = Into(&mut event).deserialize(resource).map_err(|error| Unreadable::NotJson(error.to_string()))?;
    if root != Some(AN_OBJECT) {
        return Err(Unreadable::NotAnObject { what: "the event" });
    }
    let Resource { mut sheet, data, within } = event;
    // One that has nothing to say beside its type may have none.
    if data.is_some_and(|data| data != AN_OBJECT) {
        return Err(Unreadable::NotAnObject { what: "event_data" });
    }
    let mut within = within.sheet;
    if (0..TABLE.len()).any(|row| TABLE[row].path == "timestamp" && sheet.has(row)) {
        // Two clocks do not tell one time.
        (0..TABLE.len()).filter(|row| TABLE[*row].path == "timestamp").for_each(|row| within.0[row] = None);
    }
    sheet.or(within);
    Ok(sheet.read(Form::Rest))
}

#[derive(Default)]
struct Resource<'de> {
    sheet: Sheet<'de>,
    data: Option<Scalar<'de>>,
    within: Payload<'de>,
}

impl<'de> Object<'de> for Resource<'de> {
    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        if name == "event_data" {
            self.data = map.next_value_seed(Into(&mut self.within))?;
            return Ok(());
        }
        let value = scalar(map)?;
        if let Some(row) = field::of_resource(name) {
            self.sheet.0[row] = value;
        }
        Ok(())
    }
}

/// The Event resource that tells of this event.
pub fn write(event: &v1::Event) -> Value {
    let mut event = event.clone();
    let mut data = Map::new();
    for field in TABLE.iter().filter(|field| !field.is_of_resource()) {
        if field.is_there(&event)
            && let Some(text) = as_text((field.place)(&mut event))
        {
            data.insert(field.spelled(Form::Rest).to_owned(), Value::from(text));
        }
    }
    let at = millis(&event.timestamp);
    let kind = kind_name(event.r#type).unwrap_or_default();
    json!({
        "sid": event.sid,
        "account_sid": event.account_sid,
        "workspace_sid": event.workspace_sid,
        "event_type": kind,
        "event_date": at.and_then(|at| iso_text(at, SecondsFormat::Secs)),
        "event_date_ms": at.map(|at| at.0),
        "resource_type": kind.split('.').next(),
        "source": "tasktally",
        "event_data": data,
    })
}
