//! What the three resources answer.

use serde_json::{Value, json};

use crate::common::calls::Client;
use crate::common::events::{ACCOUNT, created, now_ms, sid, worker};
use crate::common::process::Launch;
use crate::common::web::get;

#[tokio::test(flavor = "multi_thread")]
async fn the_resources_answer_in_taskrouters_form() {
    let server = Launch::ephemeral().start();
    let client = Client::to(&server).await;
    let workspace = sid("WS", 1);
    let now = now_ms();
    client.accept(vec![created(1, &workspace, now - 5_000, "voice"), worker(2, &workspace, now - 4_000, 7)]).await;
    let path = format!("/v1/Workspaces/{workspace}");
    let realtime = get(&server.address, &format!("{path}/RealTimeStatistics"), &[]).json();
    let age = realtime["longest_task_waiting_age"].as_i64().unwrap();
    assert!((5..60).contains(&age), "{realtime}");
    let expected = json!({
        "account_sid": ACCOUNT,
        "workspace_sid": workspace,
        "url": format!("{}{path}/RealTimeStatistics", server.url()),
        "activity_statistics": [{"sid": sid("WA", 7), "friendly_name": "activity 7", "workers": 1}],
        "longest_task_waiting_age": age,
        "longest_task_waiting_sid": sid("WT", 1),
        "longest_task_waiting_since": realtime["longest_task_waiting_since"],
        "tasks_by_priority": {"0": 1},
        "tasks_by_status": {"pending": 1, "reserved": 0, "assigned": 0, "wrapping": 0, "completed": 0, "canceled": 0},
        "total_tasks": 1,
        "total_workers": 1,
        "revision": realtime["revision"],
        "as_of": realtime["as_of"],
    });
    assert_eq!(realtime, expected);
    let cumulative = get(&server.address, &format!("{path}/CumulativeStatistics?SplitByWaitTime=5,30"), &[]).json();
    assert_eq!(cumulative["tasks_created"], 1);
    let nothing = json!({"tasks_canceled": 0, "reservations_accepted": 0});
    let split = json!({"above": nothing, "below": nothing});
    assert_eq!(cumulative["split_by_wait_time"], json!({"5": split, "30": split}));
    let statistics = get(&server.address, &format!("{path}/Statistics?SplitByWaitTime=5%2C30"), &[]).json();
    assert_eq!(statistics["url"], format!("{}{path}/Statistics", server.url()));
    assert_eq!(statistics["account_sid"], ACCOUNT);
    assert_eq!(keys(&statistics["realtime"]), keys(&realtime));
    assert_eq!(keys(&statistics["cumulative"]), keys(&cumulative));
    assert_eq!(statistics["realtime"]["as_of"], statistics["cumulative"]["as_of"]);
}

fn keys(object: &Value) -> Vec<&String> {
    object.as_object().unwrap().keys().collect()
}

#[test]
fn the_description_is_shown_to_whom_reflection_is() {
    let people = crate::common::people::People::of(&[("reader", "all", r#"["read"]"#)]);
    let path = "/v1/openapi.json";
    for (setting, stranger, known) in [("known", 401, 200), ("open", 200, 200), ("off", 401, 404)] {
        let server = people.launch().with(["--reflection", setting]).start();
        assert_eq!(get(&server.address, path, &[]).status, stranger, "{setting}");
        let bearer = format!("authorization: {}", people.bearer("reader"));
        let answer = get(&server.address, path, &[&bearer]);
        assert_eq!(answer.status, known, "{setting}");
        if known == 200 {
            assert_eq!(answer.json()["openapi"], "3.1.0");
        }
    }
}
