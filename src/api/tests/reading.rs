use tokio_stream::StreamExt;
use tonic_types::StatusExt;

use super::*;

#[tokio::test]
async fn a_read_after_an_answer_sees_what_was_acknowledged() {
    let mut scene = Scene::new();
    for number in 0..20 {
        let sent = scene.send(vec![created(number)]).await;
        assert_eq!((sent.accepted, sent.duplicates, sent.rejected.len()), (1, 0, 0));
        let read = scene.realtime(&workspace(1)).await;
        assert_eq!(read.total_tasks, i64::try_from(number).unwrap() + 1);
        assert!(read.revision >= sent.revision);
    }
    let again = scene.send(vec![created(0)]).await;
    assert_eq!((again.accepted, again.duplicates), (0, 1));
}

#[tokio::test]
async fn both_halves_of_the_statistics_are_of_one_state() {
    let mut scene = Scene::new();
    let mut accepted = event(2, EventType::ReservationAccepted, TaskAssignmentStatus::Assigned);
    accepted.reservation = Some(v1::Reservation { sid: sid("WR", 2), version: 0 });
    scene.send(vec![created(1), accepted]).await;
    let request = v1::GetStatisticsRequest {
        workspace_sid: workspace(1),
        split_by_wait_time: vec![59, 60],
        ..v1::GetStatisticsRequest::default()
    };
    let read = scene.statistics.get_statistics(request).await.unwrap().into_inner();
    let (now, past) = (read.realtime.unwrap(), read.cumulative.unwrap());
    assert_eq!((now.revision, now.as_of, now.as_of), (past.revision, past.as_of, time(NOW)));
    assert_eq!((now.total_tasks, past.tasks_created, past.reservations_accepted), (2, 1, 1));
    assert_eq!((past.start_time, past.end_time), (time(NOW + 1000 - 900_000), time(NOW + 1000)));
    let above = |threshold: i32| past.split_by_wait_time[&threshold].above.unwrap().reservations_accepted;
    assert_eq!((above(59), above(60)), (1, 0));
    let wait = past.wait_duration_until_accepted.unwrap();
    assert_eq!(wait.total, Some(prost_types::Duration { seconds: 59, nanos: 0 }));
    assert_eq!(read.url, format!("http://localhost:50051/v1/Workspaces/{}/Statistics", workspace(1)));
}

#[tokio::test]
async fn the_age_and_the_moment_go_on_without_events() {
    let mut scene = Scene::new();
    scene.send(vec![created(1)]).await;
    for (pass_ms, age_ms) in [(0, 60_000), (1500, 61_500), (1, 61_501)] {
        scene.later(pass_ms);
        let read = scene.realtime(&workspace(1)).await;
        let age =
            prost_types::Duration { seconds: age_ms / 1000, nanos: i32::try_from(age_ms % 1000).unwrap() * 1_000_000 };
        assert_eq!(read.longest_task_waiting_age, Some(age));
        assert_eq!(read.as_of, time(NOW - 60_000 + age_ms));
        assert_eq!(
            (read.longest_task_waiting_sid, read.longest_task_waiting_since),
            (sid("WT", 1), time(NOW - 60_000))
        );
    }
}

#[tokio::test]
async fn a_channel_filter_covers_that_channel_only_and_an_unknown_one_gives_zeros() {
    let mut scene = Scene::new();
    let mut chat = created(2);
    chat.task.as_mut().unwrap().task_channel_unique_name = "chat".into();
    scene.send(vec![created(1), chat]).await;
    for (task_channel, tasks) in [("", 2), ("voice", 1), ("chat", 1), ("Voice", 0), (sid("TC", 9).as_str(), 0)] {
        let request = v1::GetRealtimeRequest { workspace_sid: workspace(1), task_channel: task_channel.into() };
        let read = scene.statistics.get_realtime(request).await.unwrap().into_inner();
        assert_eq!(read.total_tasks, tasks, "{task_channel}");
    }
}

#[tokio::test]
async fn lists_go_page_by_page_and_end() {
    let mut scene = Scene::new();
    let in_workspace = |number: usize| v1::Event { workspace_sid: workspace(number), ..created(number) };
    scene.send([3, 1, 5, 2].map(in_workspace).to_vec()).await;
    let (mut token, mut pages) = (String::new(), Vec::new());
    loop {
        let request = v1::ListWorkspacesRequest { page_size: 2, page_token: token };
        let page = scene.statistics.list_workspaces(request).await.unwrap().into_inner();
        pages.push(page.workspaces.iter().map(|row| row.workspace_sid.clone()).collect::<Vec<_>>());
        assert!(page.workspaces.iter().all(|row| row.account_sid == sid("AC", 1)));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, [[workspace(1), workspace(2)], [workspace(3), workspace(5)]]);
}

#[tokio::test]
async fn task_channels_go_page_by_page_too() {
    let mut scene = Scene::new();
    let on = |(number, name): (usize, &str)| {
        let mut event = created(number);
        event.task.as_mut().unwrap().task_channel_unique_name = name.into();
        event
    };
    scene.send([(1, "voice"), (2, "chat"), (3, "Fax"), (4, "chat")].map(on).to_vec()).await;
    let page =
        |page_token: String| v1::ListTaskChannelsRequest { workspace_sid: workspace(1), page_size: 2, page_token };
    let first = scene.statistics.list_task_channels(page(String::new())).await.unwrap().into_inner();
    let row = |row: &v1::TaskChannel| (row.unique_name.clone(), row.active_tasks);
    assert_eq!(first.task_channels.iter().map(row).collect::<Vec<_>>(), [("Fax".into(), 1), ("chat".into(), 2)]);
    let last = scene.statistics.list_task_channels(page(first.next_page_token)).await.unwrap().into_inner();
    assert_eq!(last.task_channels.iter().map(row).collect::<Vec<_>>(), [("voice".into(), 1)]);
    assert_eq!(last.next_page_token, "");
}

#[tokio::test]
async fn a_watch_shows_the_state_and_then_each_change() {
    let mut scene = Scene::new();
    scene.send(vec![created(1)]).await;
    let request = v1::WatchRealtimeRequest { workspace_sid: workspace(1), ..v1::WatchRealtimeRequest::default() };
    let mut watch = scene.statistics.watch_realtime(request).await.unwrap().into_inner();
    for tasks in 1..4 {
        let message = watch.next().await.unwrap().unwrap().realtime.unwrap();
        assert_eq!((message.total_tasks, message.workspace_sid.clone()), (tasks, workspace(1)));
        assert_eq!(message, scene.realtime(&workspace(1)).await);
        scene.send(vec![created(1 + usize::try_from(tasks).unwrap())]).await;
    }
    scene.api.stop.cancel();
    let status = loop {
        if let Err(status) = watch.next().await.unwrap() {
            break status;
        }
    };
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(status.get_details_retry_info().is_some());
}
