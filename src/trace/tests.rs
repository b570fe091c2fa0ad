use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use opentelemetry::trace::SpanContext;

use super::{current, parent, time};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect()
}

fn headers_of(traceparent: &str, states: &[&str]) -> HeaderMap {
    let mut headers = headers(&[("traceparent", traceparent)]);
    for state in states {
        headers.append("tracestate", HeaderValue::from_str(state).unwrap());
    }
    headers
}

fn read(traceparent: &str) -> Option<SpanContext> {
    parent::of(&headers_of(traceparent, &[]))
}

#[test]
fn a_traceparent_is_read_as_w3c_writes_it() {
    for (flags, is_sampled) in [("00", false), ("01", true), ("02", false), ("ff", true)] {
        let found = read(&format!("00-{TRACE}-{SPAN}-{flags}")).unwrap();
        assert_eq!((found.trace_id().to_string(), found.span_id().to_string()), (TRACE.to_owned(), SPAN.to_owned()));
        assert_eq!((found.is_sampled(), found.is_remote()), (is_sampled, true), "{flags}");
    }
    // Later versions are read as far as this one knows them.
    for good in [format!("01-{TRACE}-{SPAN}-01"), format!("fe-{TRACE}-{SPAN}-01-and-more")] {
        assert!(read(&good).unwrap().is_sampled(), "{good}");
    }
}

#[test]
fn what_is_malformed_says_nothing() {
    let zeros = "0".repeat(32);
    for bad in [
        String::new(),
        "00".to_owned(),
        format!("00-{TRACE}-{SPAN}"),
        format!("00-{TRACE}-{SPAN}-1"),
        format!("00-{TRACE}-{SPAN}-0g"),
        format!("00-{TRACE}-{SPAN}-01-more"),
        format!("00-{TRACE}-{SPAN}-011"),
        format!("01-{TRACE}-{SPAN}-011"),
        format!("0-{TRACE}-{SPAN}-01"),
        format!("ff-{TRACE}-{SPAN}-01"),
        format!("0x-{TRACE}-{SPAN}-01"),
        format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
        format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
        format!("00-{zeros}-{SPAN}-01"),
        format!("00-{TRACE}-{}-01", &zeros[..16]),
        format!("00-{}-{SPAN}-01", &TRACE[1..]),
        format!("00_{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}_{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}_01"),
        format!("00-+{}-{SPAN}-01", &TRACE[1..]),
    ] {
        assert!(read(&bad).is_none(), "{bad}");
    }
    let twice = headers(&[("traceparent", &format!("00-{TRACE}-{SPAN}-01"))]);
    let mut twice = twice.clone().into_iter().chain(twice).fold(HeaderMap::new(), |mut all, (name, value)| {
        all.append(name.unwrap(), value);
        all
    });
    assert_eq!(twice.len(), 2);
    assert!(parent::of(&twice).is_none());
    twice.clear();
    assert!(parent::of(&twice).is_none());
}

#[test]
fn a_tracestate_goes_along_in_its_order_and_is_left_out_where_it_is_none() {
    let state = |states: &[&str]| {
        let found = parent::of(&headers_of(&format!("00-{TRACE}-{SPAN}-01"), states)).unwrap();
        found.trace_state().header()
    };
    assert_eq!(state(&["a=1,b=2", "c=3"]), "a=1,b=2,c=3");
    assert_eq!(state(&["a"]), "");
    assert_eq!(state(&[&format!("a={}", "x".repeat(600))]), "");
}

#[test]
fn a_thread_has_one_current_call_and_the_one_before_afterwards() {
    let call = |traceparent: &str| super::current::Current::new(read(traceparent).unwrap(), None);
    let outer = call(&format!("00-{TRACE}-{SPAN}-01"));
    let inner = call(&format!("00-{TRACE}-1111111111111111-01"));
    assert!(current().is_none());
    {
        let _outer = outer.enter();
        {
            let _inner = inner.enter();
            assert!(Arc::ptr_eq(&current().unwrap(), &inner));
            assert!(std::thread::spawn(|| current().is_none()).join().unwrap());
        }
        assert!(Arc::ptr_eq(&current().unwrap(), &outer));
        // It has no span of its own, so that nothing of it is measured.
        time("part").done(&[]);
    }
    assert!(current().is_none());
}
