//! What is written in a form and read again means the same, for every type of event; and so do the three forms.

use proptest::option;
use proptest::prelude::*;

use crate::api::encode;
use crate::event::{
    AccountSid, Activity, Event, EventKind, EventSid, Millis, Name, Reservation, Sid, Task, TaskStatus, Worker,
    WorkspaceSid,
};
use crate::taskrouter::{callback, cloud, judge, rest};

fn a_sid<const A: u8, const B: u8>() -> impl Strategy<Value = Sid<A, B>> {
    any::<[u8; 16]>().prop_map(Sid::from_bytes)
}

fn a_name() -> impl Strategy<Value = Option<Name>> {
    option::of("[\\PC&=+% \"\\\\\u{7f}\n]{1,12}".prop_map(|name| name.into()))
}

fn a_time() -> impl Strategy<Value = Millis> {
    let whole = Millis::MIN.0..=Millis::MAX.0;
    prop_oneof![whole, 1_700_000_000_000..1_800_000_000_000i64].prop_map(Millis)
}

prop_compose! {
    fn a_task()(
        sid in a_sid(),
        date_created in a_time(),
        status in 0..6usize,
        priority in any::<i32>(),
        channel_name in a_name(),
        channel_sid in option::of(a_sid()),
        version in any::<i64>(),
        queue in (option::of(a_sid()), a_name(), option::of(a_time())),
        workflow in (option::of(a_sid()), a_name()),
    ) -> Task {
        let (queue_sid, queue_name, queue_entered) = queue;
        let (workflow_sid, workflow_name) = workflow;
        Task {
            sid, date_created: Some(date_created), status: Some(TaskStatus::ALL[status]), priority,
            channel_name: channel_name.or(Some("voice".into())), channel_sid, version,
            queue_sid, queue_name, queue_entered, workflow_sid, workflow_name,
        }
    }
}

prop_compose! {
    fn a_worker()(
        sid in a_sid(), name in a_name(), activity in a_sid(), activity_name in a_name(), version in any::<i64>(),
    ) -> Worker {
        Worker { sid, name, activity_sid: Some(activity), activity_name, version }
    }
}

prop_compose! {
    fn an_event()(
        kind in 0..EventKind::ALL.len(),
        sid in a_sid(),
        at in a_time(),
        account in a_sid(),
        workspace in a_sid(),
        task in a_task(),
        reservation in (a_sid(), any::<i64>()),
        worker in a_worker(),
        activity in (a_sid(), a_name(), option::of(any::<bool>())),
    ) -> Event {
        of_kind(EventKind::ALL[kind], (sid, at, account, workspace), task, reservation, worker, activity)
    }
}

fn of_kind(
    kind: EventKind,
    (sid, at, account, workspace): (EventSid, Millis, AccountSid, WorkspaceSid),
    task: Task,
    (reservation, version): (Sid<b'W', b'R'>, i64),
    worker: Worker,
    (activity, name, available): (Sid<b'W', b'A'>, Option<Name>, Option<bool>),
) -> Event {
    let carried = kind.carried();
    Event {
        sid,
        kind,
        at,
        account,
        workspace,
        task: carried.task.then_some(task),
        reservation: carried.reservation.then_some(Reservation { sid: reservation, version }),
        worker: carried.worker.then_some(worker),
        activity: carried.activity.then(|| Activity { sid: activity, name: name.or(Some("Idle".into())), available }),
    }
}

/// With the digits that a callback and an `event_data` carry.
fn in_seconds(mut event: Event) -> Event {
    if let Some(task) = &mut event.task {
        for time in [&mut task.date_created, &mut task.queue_entered].into_iter().flatten() {
            *time = time.second().start();
        }
    }
    event
}

fn as_callback(event: &Event) -> Event {
    let body = callback::encode(&callback::write(&encode::event(event)));
    judge(callback::read(body.as_bytes()).unwrap()).unwrap()
}

fn as_stream(event: &Event) -> Event {
    judge(cloud::read(&cloud::write(&encode::event(event)).to_string()).unwrap()).unwrap()
}

fn as_resource(event: &Event) -> Event {
    judge(rest::read(&rest::write(&encode::event(event))).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn an_event_means_the_same_in_all_three_forms(event in an_event()) {
        let in_seconds = in_seconds(event.clone());
        prop_assert_eq!(&as_stream(&event), &event, "a stream carries every digit");
        prop_assert_eq!(&as_callback(&event), &in_seconds);
        prop_assert_eq!(&as_resource(&event), &in_seconds);
        // So that without the digits that two of them lack, the three are one.
        prop_assert_eq!(&as_stream(&in_seconds), &as_callback(&event));
    }

    #[test]
    fn no_bytes_and_no_text_are_more_than_refused(bytes in any::<Vec<u8>>(), text in "\\PC*") {
        for body in [bytes.as_slice(), text.as_bytes()] {
            let _ = callback::read(body).map(judge);
            let _ = cloud::split(body, 10).map(|events| events.len());
        }
        let _ = cloud::read(&text).map(judge);
    }
}

#[test]
fn every_type_comes_through_every_form() {
    let nobody =
        (Sid::from_bytes([1; 16]), Millis(1_700_000_000_123), Sid::from_bytes([2; 16]), Sid::from_bytes([3; 16]));
    for kind in EventKind::ALL {
        let task = Task {
            date_created: Some(Millis(1_600_000_000_000)),
            status: Some(TaskStatus::Pending),
            priority: -3,
            channel_name: Some("voice".into()),
            version: 1,
            ..Task::bare(Sid::from_bytes([4; 16]))
        };
        let worker = Worker {
            sid: Sid::from_bytes([5; 16]),
            name: None,
            activity_sid: Some(Sid::from_bytes([6; 16])),
            activity_name: None,
            version: 0,
        };
        let (reservation, activity) = ((Sid::from_bytes([7; 16]), 9), (Sid::from_bytes([8; 16]), None, Some(true)));
        let event = of_kind(kind, nobody, task, reservation, worker, activity);
        assert_eq!(
            [as_callback(&event), as_stream(&event), as_resource(&event)],
            [event.clone(), event.clone(), event]
        );
    }
}
