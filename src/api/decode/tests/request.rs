use std::time::Duration;

use prost_types::Timestamp;
use tonic_types::FieldViolation;

use super::{at, sid};
use crate::api::decode::*;
use crate::api::proto::v1;
use crate::engine::{ChannelFilter, Window};
use crate::event::{Millis, WorkspaceSid};

fn fields<T>(result: Result<T, Vec<FieldViolation>>) -> Vec<String> {
    result.err().unwrap_or_default().into_iter().map(|violation| violation.field).collect()
}

fn request() -> v1::GetCumulativeRequest {
    v1::GetCumulativeRequest { workspace_sid: sid("WS", '3'), ..Default::default() }
}

fn windowed(
    minutes: Option<i32>,
    start_time: Option<Timestamp>,
    end_time: Option<Timestamp>,
) -> v1::GetCumulativeRequest {
    v1::GetCumulativeRequest { minutes, start_time, end_time, ..request() }
}

fn split(split_by_wait_time: &[i32]) -> v1::GetCumulativeRequest {
    v1::GetCumulativeRequest { split_by_wait_time: split_by_wait_time.to_vec(), ..request() }
}

#[test]
fn every_request_requires_a_well_formed_workspace() {
    for bad in ["", "WS1", "wS33333333333333333333333333333333"] {
        let workspace_sid = bad.to_owned();
        let expected = ["workspace_sid"];
        let request = v1::GetRealtimeRequest { workspace_sid: workspace_sid.clone(), ..Default::default() };
        assert_eq!(fields(realtime(request)), expected);
        let request = v1::GetStatisticsRequest { workspace_sid: workspace_sid.clone(), ..Default::default() };
        assert_eq!(fields(statistics(request)), expected);
        let request = v1::GetCumulativeRequest { workspace_sid: workspace_sid.clone(), ..Default::default() };
        assert_eq!(fields(cumulative(request)), expected);
        let request = v1::WatchRealtimeRequest { workspace_sid: workspace_sid.clone(), ..Default::default() };
        assert_eq!(fields(watch_realtime(request)), expected);
        let request = v1::ListTaskChannelsRequest { workspace_sid, ..Default::default() };
        assert_eq!(fields(channel_page(request)), expected);
    }
}

#[test]
fn a_channel_is_all_a_sid_or_a_name() {
    let channel = |text: &str| {
        let request = v1::GetRealtimeRequest { workspace_sid: sid("WS", '3'), task_channel: text.into() };
        realtime(request).unwrap().channel
    };
    assert_eq!(channel(""), ChannelFilter::All);
    assert!(matches!(channel(&sid("TC", 'A')), ChannelFilter::Sid(sid) if sid.to_string() == super::sid("TC", 'a')));
    assert_eq!(channel("TCvoice"), ChannelFilter::Named("TCvoice".into()));
}

#[test]
fn the_window_is_what_the_table_of_requests_says() {
    let window = |minutes, start, end| cumulative(windowed(minutes, start, end)).unwrap().window;
    assert_eq!(window(None, None, None), Window::Default15);
    assert_eq!(window(Some(1), None, None), Window::Minutes(1));
    assert_eq!(window(Some(43_200), None, None), Window::Minutes(43_200));
    assert_eq!(window(None, at(5), None), Window::From(Millis(5000)));
    assert_eq!(window(None, None, at(6)), Window::Until(Millis(6000)));
    assert_eq!(window(None, at(5), at(6)), Window::Between { start: Millis(5000), end: Millis(6000) });
}

#[test]
fn minutes_out_of_range_or_beside_another_are_refused() {
    for (minutes, start, end) in [
        (0, None, None),
        (-1, None, None),
        (43_201, None, None),
        (i32::MIN, None, None),
        (15, at(5), None),
        (15, None, at(5)),
        (15, at(5), at(6)),
        (0, at(5), at(6)),
    ] {
        assert_eq!(fields(cumulative(windowed(Some(minutes), start, end))), ["minutes"], "{minutes}");
    }
}

#[test]
fn an_end_that_is_not_after_the_start_is_named_with_all_other_faults() {
    assert_eq!(fields(cumulative(windowed(None, at(6), at(6)))), ["end_time"]);
    let request = v1::GetCumulativeRequest {
        workspace_sid: "?".into(),
        split_by_wait_time: vec![0],
        ..windowed(Some(1), at(6), at(5))
    };
    assert_eq!(fields(cumulative(request)), ["workspace_sid", "minutes", "end_time", "split_by_wait_time"]);
}

#[test]
fn malformed_times_are_both_named() {
    let bad = Some(Timestamp { seconds: 0, nanos: -1 });
    assert_eq!(fields(cumulative(windowed(None, bad, bad))), ["start_time", "end_time"]);
}

#[test]
fn thresholds_are_1_to_2_592_000_seconds_and_at_most_20_as_listed() {
    assert_eq!(*cumulative(split(&[2_592_000, 1, 1])).unwrap().thresholds, [2_592_000, 1, 1]);
    assert_eq!(cumulative(split(&[9; 20])).unwrap().thresholds.len(), 20);
    assert_eq!(fields(cumulative(split(&[9; 21]))), ["split_by_wait_time"]);
    let bad = cumulative(split(&[1, 0, 2_592_001, i32::MIN, 5])).unwrap_err();
    assert_eq!(bad.len(), 1);
    assert_eq!(bad[0].description, "must be from 1 to 2592000 seconds each, not 0, 2592001, -2147483648");
}

fn series_of(of: v1::GetCumulativeRequest, bucket: Option<(i64, i32)>) -> v1::GetCumulativeSeriesRequest {
    let v1::GetCumulativeRequest { workspace_sid, task_channel, minutes, start_time, end_time, split_by_wait_time } =
        of;
    let bucket = bucket.map(|(seconds, nanos)| prost_types::Duration { seconds, nanos });
    v1::GetCumulativeSeriesRequest {
        workspace_sid,
        task_channel,
        minutes,
        start_time,
        end_time,
        split_by_wait_time,
        bucket,
    }
}

#[test]
fn a_series_reads_as_get_cumulative_and_its_bucket_is_whole_seconds() {
    let of = || v1::GetCumulativeRequest { task_channel: "voice".into(), ..split(&[4, 4]) };
    for seconds in [1, 60, i64::MAX] {
        let read = series(series_of(of(), Some((seconds, 0)))).unwrap();
        assert_eq!((read.bucket_s, &read.of), (seconds, &cumulative(of()).unwrap()));
    }
    for bad in [None, Some((0, 0)), Some((-1, 0)), Some((0, 999_999_999)), Some((1, 1)), Some((60, -1))] {
        assert_eq!(fields(series(series_of(of(), bad))), ["bucket"], "{bad:?}");
    }
    let all = v1::GetCumulativeRequest { workspace_sid: "?".into(), ..windowed(Some(0), None, None) };
    assert_eq!(fields(series(series_of(all, None))), ["workspace_sid", "minutes", "bucket"]);
}

#[test]
fn more_than_1000_buckets_are_told_beside_other_faults_with_the_least_that_fits() {
    let bad = |of: v1::GetCumulativeRequest, seconds| {
        let alone = series(series_of(of.clone(), Some((seconds, 0))));
        assert!(alone.is_ok(), "{of:?}: the start may be too early, which matters more");
        let of = v1::GetCumulativeRequest { workspace_sid: "?".into(), ..of };
        let mut told = series(series_of(of, Some((seconds, 0)))).err().unwrap_or_default();
        assert_eq!(told.remove(0).field, "workspace_sid");
        told
    };
    for (of, least) in [
        (windowed(Some(17), None, None), 2),
        (windowed(Some(43_200), None, None), 2592),
        (windowed(None, at(0), at(1001)), 2),
        (windowed(None, at(0), at(253_402_300_799)), 253_402_301),
    ] {
        assert_eq!(bad(of.clone(), least).len(), 0, "{of:?}");
        let told = bad(of.clone(), least - 1);
        assert_eq!((told.len(), told[0].field.as_str()), (1, "bucket"), "{of:?}");
        assert!(told[0].description.contains(&format!("at least {least} s")), "{}", told[0].description);
    }
    // 1000 seconds, and the default of 900.
    for of in [windowed(None, at(0), at(1000)), request(), windowed(None, None, at(5000))] {
        assert_eq!(bad(of, 1).len(), 0);
    }
    // How long this is, only the clock can tell.
    assert_eq!(bad(windowed(None, at(0), None), 1).len(), 0);
}

#[test]
fn watch_statistics_reads_as_get_statistics_and_watch_realtime() {
    let second = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let request = v1::WatchStatisticsRequest {
        workspace_sid: sid("WS", '3'),
        task_channel: "voice".into(),
        split_by_wait_time: vec![4],
        min_interval: second(1),
        heartbeat_interval: second(2),
        ..Default::default()
    };
    let of = v1::GetCumulativeRequest { task_channel: "voice".into(), ..split(&[4]) };
    let pace = Pace { min_interval: Duration::from_secs(1), heartbeat: Duration::from_secs(2) };
    let read = watch_statistics(request.clone()).unwrap();
    assert_eq!(read, WatchStatisticsRequest { of: cumulative(of).unwrap(), pace });
    let bad = v1::WatchStatisticsRequest { minutes: Some(0), heartbeat_interval: second(0), ..request };
    assert_eq!(fields(watch_statistics(bad)), ["minutes", "heartbeat_interval"]);
}

#[test]
fn get_statistics_reads_as_get_cumulative() {
    let request = v1::GetStatisticsRequest {
        workspace_sid: sid("WS", '3'),
        task_channel: "voice".into(),
        minutes: None,
        start_time: at(5),
        end_time: at(6),
        split_by_wait_time: vec![4],
    };
    let read = statistics(request).unwrap();
    assert_eq!(read.workspace.to_string(), sid("WS", '3'));
    assert_eq!(read.channel, ChannelFilter::Named("voice".into()));
    assert_eq!(read.window, Window::Between { start: Millis(5000), end: Millis(6000) });
    assert_eq!(*read.thresholds, [4]);
}

fn watch(
    min_interval: Option<(i64, i32)>,
    heartbeat_interval: Option<(i64, i32)>,
) -> Result<(Duration, Duration), Vec<String>> {
    let duration = |(seconds, nanos)| prost_types::Duration { seconds, nanos };
    let read = watch_realtime(v1::WatchRealtimeRequest {
        workspace_sid: sid("WS", '3'),
        task_channel: String::new(),
        min_interval: min_interval.map(duration),
        heartbeat_interval: heartbeat_interval.map(duration),
    });
    match read {
        Ok(WatchRequest { pace: Pace { min_interval, heartbeat }, .. }) => Ok((min_interval, heartbeat)),
        Err(violations) => Err(fields::<()>(Err(violations))),
    }
}

#[test]
fn absent_intervals_take_the_default_and_the_heartbeat_is_at_least_min_interval() {
    let ms = Duration::from_millis;
    assert_eq!(watch(None, None), Ok((ms(100), ms(5000))));
    assert_eq!(watch(Some((0, 10_000_000)), None), Ok((ms(10), ms(5000))));
    assert_eq!(watch(Some((7, 0)), None), Ok((ms(7000), ms(7000))));
    assert_eq!(watch(None, Some((0, 100_000_000))), Ok((ms(100), ms(100))));
    assert_eq!(watch(Some((3600, 0)), Some((3600, 0))), Ok((ms(3_600_000), ms(3_600_000))));
}

#[test]
fn intervals_out_of_bounds_are_refused() {
    let both = ["min_interval", "heartbeat_interval"].map(str::to_owned).to_vec();
    for bad in [(0, 0), (0, 9_999_999), (-1, 0), (0, -1), (1, -1), (0, 1_000_000_000), (3600, 1), (i64::MAX, 0)] {
        assert_eq!(watch(Some(bad), Some(bad)), Err(both.clone()), "{bad:?}");
    }
    assert_eq!(watch(None, Some((0, 99_999_999))), Err(vec!["heartbeat_interval".into()]));
    // Also where it is not below its own min_interval.
    assert_eq!(watch(Some((0, 10_000_000)), Some((0, 99_999_999))), Err(vec!["heartbeat_interval".into()]));
    assert!(watch(Some((0, 10_000_000)), Some((0, 100_000_000))).is_ok());
    assert_eq!(watch(Some((2, 0)), Some((1, 0))), Err(vec!["heartbeat_interval".into()]));
}

fn workspaces(page_size: i32, page_token: &str) -> Result<PageRequest<WorkspaceSid>, Vec<FieldViolation>> {
    workspace_page(v1::ListWorkspacesRequest { page_size, page_token: page_token.into() })
}

fn channels(workspace: char, page_token: &str) -> Result<PageRequest<String>, Vec<FieldViolation>> {
    let (workspace_sid, page_token) = (sid("WS", workspace), page_token.into());
    let request = v1::ListTaskChannelsRequest { workspace_sid, page_size: 0, page_token };
    channel_page(request).map(|(_, page)| page)
}

#[test]
fn a_page_has_50_rows_by_default_and_1000_at_most() {
    for (page_size, rows) in [(0, 50), (1, 1), (1000, 1000), (1001, 1000), (i32::MAX, 1000)] {
        assert_eq!(workspaces(page_size, "").unwrap(), PageRequest { rows, after: None });
    }
    assert_eq!(fields(workspaces(-1, "")), ["page_size"]);
    assert_eq!(fields(workspaces(-1, "?")), ["page_size", "page_token"]);
}

#[test]
fn a_token_leads_back_to_its_place() {
    let place = WorkspaceSid::parse(&sid("WS", 'c')).unwrap();
    assert_eq!(workspaces(0, &workspace_token(place)).unwrap().after, Some(place));
    let token = channel_token(place, "voice é");
    assert_eq!(channels('c', &token).unwrap().after.as_deref(), Some("voice é"));
}

#[test]
fn a_token_of_another_list_or_a_changed_one_is_refused() {
    let place = WorkspaceSid::parse(&sid("WS", 'c')).unwrap();
    let token = channel_token(place, "voice");
    assert_eq!(fields(channels('d', &token)), ["page_token"]);
    assert_eq!(fields(channels('c', &workspace_token(place))), ["page_token"]);
    assert_eq!(fields(workspaces(0, &token)), ["page_token"]);
    for cut in 1..token.len() {
        assert_eq!(fields(channels('c', &token[..cut])), ["page_token"], "cut at {cut}");
        let changed =
            format!("{}{}{}", &token[..cut], if &token[cut..=cut] == "0" { "1" } else { "0" }, &token[cut + 1..]);
        assert_eq!(fields(channels('c', &changed)), ["page_token"], "changed at {cut}");
    }
}

#[test]
fn an_end_a_nanosecond_past_its_second_rounds_up_to_the_next_one() {
    let now = Millis(2_000_000_000_000);
    let day = 24 * 60 * 60 * 1000;
    let end_of = |nanos| {
        let end = Timestamp { seconds: 1_999_999_990, nanos };
        let request = windowed(None, Some(Timestamp { seconds: 1_999_999_900, nanos: 999_999_999 }), Some(end));
        let range = cumulative(request).unwrap().window.resolve(now, day).unwrap();
        assert_eq!(range.start().0, 1_999_999_900);
        range.end().0
    };
    assert_eq!([end_of(0), end_of(1), end_of(999_999_999)], [1_999_999_990, 1_999_999_991, 1_999_999_991]);
}
