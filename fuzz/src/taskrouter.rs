//! The task router's own forms, and its signatures.

use tasktally::api::encode;
use tasktally::event::Event;
use tasktally::taskrouter::{Reading, callback, cloud, judge, rest, signature};

use super::data::Bytes;

/// A body of any bytes, as a callback, a stream or a resource: refused with a reason, or an event that means the same
/// when it is written and read again, in whatever form.
pub fn forms(input: &[u8]) {
    let mut bytes = Bytes(input);
    match bytes.byte() % 3 {
        0 => {
            let Ok(pairs) = callback::pairs(bytes.0) else { return };
            let owned: Vec<(String, String)> =
                pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            let body = callback::encode(&owned);
            assert_eq!(callback::pairs(body.as_bytes()), Ok(pairs), "{body}");
            let reading = callback::read(bytes.0);
            assert_eq!(reading, callback::read(body.as_bytes()), "{body}");
            reading.into_iter().for_each(judged);
        }
        1 => {
            let Ok(events) = cloud::split(bytes.0, 8) else { return };
            assert!(events.len() <= 8);
            events.iter().filter_map(|event| cloud::read(event.get()).ok()).for_each(judged);
        }
        _ => {
            let Ok(resource) = serde_json::from_slice(bytes.0) else { return };
            rest::read(&resource).into_iter().for_each(judged);
        }
    }
}

fn judged(reading: Reading) {
    match judge(reading.clone()) {
        Ok(event) => means_the_same(&event),
        Err(refused) => {
            assert!(!refused.message.is_empty() && refused.message.len() < 1_024, "{refused:?}");
            assert_eq!(Err(refused), judge(reading));
        }
    }
}

fn means_the_same(event: &Event) {
    let message = encode::event(event);
    let stream = cloud::read(&cloud::write(&message).to_string()).expect("what was written");
    assert_eq!(judge(stream).as_ref(), Ok(event));
    let mut in_seconds = event.clone();
    if let Some(task) = &mut in_seconds.task {
        for time in [&mut task.date_created, &mut task.queue_entered].into_iter().flatten() {
            *time = time.second().start();
        }
    }
    let form = callback::read(callback::encode(&callback::write(&message)).as_bytes()).expect("what was written");
    assert_eq!(judge(form).as_ref(), Ok(&in_seconds));
    let resource = rest::read(&rest::write(&message)).expect("what was written");
    assert_eq!(judge(resource).as_ref(), Ok(&in_seconds));
}

/// A URL, a header and a body of any bytes: only what was made with the token is its signature.
pub fn signature(input: &[u8]) {
    let mut bytes = Bytes(input);
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    let (url, shown, body) = (text(bytes.prefixed()), text(bytes.prefixed()), bytes.0);
    let (token, other) = ("0123456789abcdef", "0123456789abcdeg");
    let pairs = callback::pairs(body).unwrap_or_default();
    assert!(!signature::is_of_form(token, url, &pairs, shown), "a guess: {shown:?}");
    assert!(!signature::is_of_body(token, url, body, shown), "a guess: {shown:?}");
    let good = signature::of_form(token, url, &pairs);
    assert!(signature::is_of_form(token, url, &pairs, &good), "{url:?}");
    assert!(!signature::is_of_form(other, url, &pairs, &good), "{url:?}");
    let one_more = [pairs.as_slice(), &[("~".into(), url.into())]].concat();
    assert!(!signature::is_of_form(token, url, &one_more, &good), "{url:?}");
    let named = signature::naming_body(url, body);
    let good = signature::of_body(token, &named);
    // A URL that names a body already names that one.
    if !url.contains("bodySHA256=") {
        assert!(signature::is_of_body(token, &named, body, &good), "{named:?}");
    }
    assert!(!signature::is_of_body(token, &named, &[body, b" "].concat(), &good), "{named:?}");
}
