use super::*;

fn workspace() -> WorkspaceSid {
    WorkspaceSid::from_bytes([0xab; 16])
}

fn ask(error: AskError) -> Status {
    status(ApiError::Ask(workspace(), error))
}

fn ingest(error: IngestError) -> Status {
    status(ApiError::Ingest(error))
}

fn full(retry_after_ms: u64) -> Full {
    Full { limit: "max_queued_events", most: 7, retry_after_ms }
}

fn backup(refusal: CopyRefusal) -> Status {
    status(ApiError::Backup(refusal))
}

/// Code, reason, whether a retry is offered, number of bad fields.
fn shape(status: &Status) -> (Code, String, bool, usize) {
    let details = status.get_error_details();
    let info = details.error_info().expect("every error has an ErrorInfo");
    assert_eq!(info.domain, "tasktally");
    assert!(info.reason.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{}", info.reason);
    let bad = details.bad_request().map_or(0, |bad| bad.field_violations.len());
    (status.code(), info.reason.clone(), details.retry_info().is_some(), bad)
}

fn value(status: &Status, key: &str) -> String {
    status.get_error_details().error_info().unwrap().metadata[key].clone()
}

#[test]
fn every_error_has_its_code_its_reason_and_retry_info_only_where_a_retry_helps() {
    let bad = || FieldViolation::new("minutes", "must be from 1 to 43200");
    let (oldest, asked) = (Second(10), Second(9));
    let unwritable = IngestError::Unwritable { cause: "no space".into(), retry_after_ms: 1000 };
    let expected = [
        (status(ApiError::BadFields(vec![bad(), bad()])), Code::InvalidArgument, "BAD_FIELDS", false, 2),
        (status(ApiError::TooManyEvents { sent: 3, most: 2 }), Code::InvalidArgument, "TOO_MANY_EVENTS", false, 1),
        (status(ApiError::NotTheMessage { cause: "?".into() }), Code::InvalidArgument, "MALFORMED_MESSAGE", false, 0),
        (status(ApiError::TooLarge { most_bytes: 4 }), Code::ResourceExhausted, "MESSAGE_TOO_LARGE", false, 0),
        (status(ApiError::NotPermitted { needed: Role::Admin }), Code::PermissionDenied, "ROLE_MISSING", false, 0),
        (ask(AskError::UnknownWorkspace), Code::NotFound, "WORKSPACE_NOT_FOUND", false, 0),
        (ask(AskError::WindowTooOld { oldest, asked }), Code::OutOfRange, "START_TOO_OLD", false, 0),
        (ask(AskError::EmptyWindow { field: "start_time" }), Code::InvalidArgument, "BAD_FIELDS", false, 1),
        (ask(AskError::TooManyBuckets { least_s: 9 }), Code::InvalidArgument, "BAD_FIELDS", false, 1),
        (ask(AskError::Overloaded(full(5))), Code::ResourceExhausted, "OVERLOADED", true, 0),
        (ask(AskError::Starting), Code::Unavailable, "STARTING", true, 0),
        (ask(AskError::Stopping), Code::Unavailable, "SHUTTING_DOWN", true, 0),
        (ingest(IngestError::Overloaded(full(5))), Code::ResourceExhausted, "OVERLOADED", true, 0),
        (ingest(unwritable), Code::Unavailable, "JOURNAL_UNWRITABLE", true, 0),
        (ingest(IngestError::Starting), Code::Unavailable, "STARTING", true, 0),
        (ingest(IngestError::Stopping), Code::Unavailable, "SHUTTING_DOWN", true, 0),
        (status(ApiError::List(AskError::Starting)), Code::Unavailable, "STARTING", true, 0),
        (status(ApiError::Stopping), Code::Unavailable, "SHUTTING_DOWN", true, 0),
        (status(ApiError::TooSlow), Code::ResourceExhausted, "REQUEST_TOO_SLOW", true, 0),
        (
            status(ApiError::TooManyWatchers { limit: "max_watchers", most: 1 }),
            Code::ResourceExhausted,
            "TOO_MANY_WATCHERS",
            true,
            0,
        ),
        (backup(CopyRefusal::NotKept), Code::FailedPrecondition, "NOTHING_ON_DISK", false, 0),
        (backup(CopyRefusal::UnderWay), Code::ResourceExhausted, "BACKUP_UNDER_WAY", true, 0),
        (backup(CopyRefusal::TooSlow), Code::Aborted, "BACKUP_TOO_SLOW", false, 0),
        (backup(CopyRefusal::Forgotten), Code::Aborted, "BACKUP_INTERRUPTED", false, 0),
        (backup(CopyRefusal::Unreadable("page 3".into())), Code::DataLoss, "JOURNAL_DAMAGED", false, 0),
        (backup(CopyRefusal::Starting), Code::Unavailable, "STARTING", true, 0),
        (backup(CopyRefusal::Stopping), Code::Unavailable, "SHUTTING_DOWN", true, 0),
    ];
    for (status, code, reason, retry, bad) in expected {
        assert_eq!(shape(&status), (code, reason.to_owned(), retry, bad));
    }
}

#[test]
fn the_metadata_holds_the_values() {
    let unknown = ask(AskError::UnknownWorkspace);
    assert_eq!(value(&unknown, "workspace_sid"), workspace().to_string());
    let too_old = ask(AskError::WindowTooOld { oldest: Second(1_800_000_000), asked: Second(1_799_999_999) });
    assert_eq!(value(&too_old, "oldest_start_time"), "2027-01-15T08:00:00Z");
    assert_eq!(value(&too_old, "start_time"), "2027-01-15T07:59:59Z");
    let too_many = status(ApiError::TooManyEvents { sent: 10_001, most: 10_000 });
    assert_eq!(value(&too_many, "sent"), "10001");
    let too_large = status(ApiError::TooLarge { most_bytes: 4096 });
    assert_eq!(value(&too_large, "limit_bytes"), "4096");
    let watchers = status(ApiError::TooManyWatchers { limit: "max_watchers", most: 3 });
    let overloaded = ingest(IngestError::Overloaded(full(5)));
    for (status, limit, number) in [
        (too_many, "max_events_per_call", "10000"),
        (too_large, "max_message_bytes", "4096"),
        (watchers, "max_watchers", "3"),
        (overloaded, "max_queued_events", "7"),
    ] {
        assert_eq!((value(&status, "limit").as_str(), value(&status, "limit_value").as_str()), (limit, number));
    }
}

#[test]
fn the_delay_is_the_one_asked_for() {
    let details = ask(AskError::Overloaded(full(250))).get_error_details();
    assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_millis(250)));
}

#[test]
fn an_empty_window_names_the_field_at_fault() {
    for field in ["start_time", "end_time"] {
        let details = ask(AskError::EmptyWindow { field }).get_error_details();
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, field);
    }
}

#[test]
fn a_long_cause_is_cut_between_characters() {
    let unwritable = ingest(IngestError::Unwritable { cause: "é".repeat(200).into(), retry_after_ms: 1 });
    assert_eq!(value(&unwritable, "cause"), "é".repeat(128));
    assert_eq!(cut("aé", 2), "a");
    assert_eq!(cut("aé", 3), "aé");
}

#[test]
fn what_the_library_says_of_a_request_becomes_ours_and_ours_stays() {
    let read = |status| shape(&of_reading(status, 9));
    let too_large = (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".to_owned(), false, 0);
    assert_eq!(read(Status::out_of_range("length")), too_large);
    assert_eq!(read(Status::resource_exhausted("decompressing")), too_large);
    let malformed = (Code::InvalidArgument, "MALFORMED_MESSAGE".to_owned(), false, 0);
    assert_eq!(read(Status::internal("Unexpected EOF")), malformed);
    let ours = ask(AskError::WindowTooOld { oldest: Second(1), asked: Second(0) });
    assert_eq!(read(ours.clone()), shape(&ours));
    assert!(of_reading(Status::unimplemented("gzip"), 9).details().is_empty());
}
