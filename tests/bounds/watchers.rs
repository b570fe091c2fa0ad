//! Watchers, in all and of an account.

use tasktally::api::proto::v1::EventType;
use tonic::Code;

use super::assert_bound;
use crate::common::calls::{Client, next, quiet_watch};
use crate::common::events::{bare, now_ms, sid};
use crate::common::eventually;
use crate::common::process::Launch;

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_watchers_and_a_seat_is_free_again() {
    let server = Launch::ephemeral().with(["--max-watchers", "3", "--max-watchers-per-account", "2"]).start();
    let client = Client::to(&server).await;
    let (one, two, of_other) = (sid("WS", 1), sid("WS", 2), sid("WS", 3));
    for (number, workspace) in (1..).zip([&one, &two, &of_other]) {
        let mut event = bare(number, EventType::WorkspaceCreated, workspace, now_ms());
        event.account_sid = sid("AC", if workspace == &of_other { 2 } else { 1 });
        client.accept(vec![event]).await;
    }
    let watch = async |workspace: &str| client.watch(quiet_watch(workspace)).await;
    let refused = async |workspace: &str, bound| {
        let status = watch(workspace).await.expect_err("no seat");
        assert_bound(&status, Code::ResourceExhausted, "TOO_MANY_WATCHERS", true, &[], bound);
    };
    let mut first = watch(&one).await.unwrap();
    let mut second = watch(&two).await.unwrap();
    refused(&one, ("max_watchers_per_account", 2)).await;
    refused(&two, ("max_watchers_per_account", 2)).await;
    let mut third = watch(&of_other).await.unwrap();
    for watch in [&mut first, &mut second, &mut third] {
        next(watch).await;
    }
    refused(&of_other, ("max_watchers", 3)).await;
    // Questions need no seat.
    client.realtime(&one, "").await.unwrap();

    drop(first);
    let mut again = eventually("the seat is free again", async || watch(&of_other).await.ok()).await;
    next(&mut again).await;
    refused(&one, ("max_watchers", 3)).await;
    // A watch that is refused takes no seat, however often.
    drop((again, second, third));
    eventually("all seats are free", async || {
        let both = (watch(&one).await, watch(&two).await, watch(&of_other).await);
        matches!(both, (Ok(_), Ok(_), Ok(_))).then_some(())
    })
    .await;
}
