use axum::body::{Body, to_bytes};
use http::Request;
use tower::ServiceExt as _;

use super::*;
use crate::api::ApiLimits;

fn sources() -> Sources {
    Sources {
        pipeline: Pipeline::default(),
        seats: Seats::new(&ApiLimits::default()),
        letters: Letters::default(),
        traffic: Arc::default(),
        tls: Some(Arc::default()),
        spans: None,
        data_dir: None,
        stop: CancellationToken::new(),
    }
}

async fn told(sources: Sources) -> String {
    let request = Request::get(PATH).body(Body::empty()).unwrap();
    let answer = router(sources).oneshot(request).await.unwrap();
    assert_eq!((answer.status(), answer.headers()[CONTENT_TYPE].to_str().unwrap()), (StatusCode::OK, OPEN_METRICS));
    String::from_utf8(to_bytes(answer.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn a_server_that_has_not_started_is_told_as_such() {
    let text = told(sources()).await;
    assert!(text.ends_with("# EOF\n"));
    for line in ["tasktally_serving 0.0", "tasktally_watchers 0.0", "# TYPE tasktally_revision gauge"] {
        assert!(text.lines().any(|told| told == line), "{line} is missing of:\n{text}");
    }
    // What is not known yet is not said to be nothing.
    assert!(!text.contains("\ntasktally_revision "));
    assert!(text.contains("\ntasktally_recovery_progress_ratio "));
    assert!(text.contains(&format!("tasktally_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))));
}

#[tokio::test]
async fn every_family_is_told_once_and_whole() {
    let text = told(sources()).await;
    let mut seen = std::collections::BTreeSet::new();
    for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        assert!(seen.insert(family.split(' ').next().unwrap()), "{family} twice");
    }
    assert!(seen.len() > 50, "{seen:?}");
}

#[tokio::test]
async fn there_is_nothing_beside_it() {
    let request = Request::get("/").body(Body::empty()).unwrap();
    assert_eq!(router(sources()).oneshot(request).await.unwrap().status(), StatusCode::NOT_FOUND);
}
