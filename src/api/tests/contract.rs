//! The descriptors that reflection serves.

use prost_reflect::DescriptorPool;

use crate::api::proto::{DESCRIPTORS, ERROR_DESCRIPTORS};

fn pool() -> DescriptorPool {
    let mut pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    pool.decode_file_descriptor_set(ERROR_DESCRIPTORS).unwrap();
    pool
}

#[test]
fn a_client_by_reflection_can_print_the_details_of_an_error() {
    let pool = pool();
    for name in ["ErrorInfo", "BadRequest", "RetryInfo", "Status"] {
        assert!(pool.get_message_by_name(&format!("google.rpc.{name}")).is_some(), "{name}");
    }
    for name in ["Timestamp", "Duration", "Any"] {
        assert!(pool.get_message_by_name(&format!("google.protobuf.{name}")).is_some(), "{name}");
    }
}

#[test]
fn the_services_have_the_methods_of_the_contract() {
    let methods = |service: &str| {
        let service = pool().get_service_by_name(&format!("tasktally.v1.{service}")).unwrap();
        let row = |method: prost_reflect::MethodDescriptor| {
            let stream = |is_stream| if is_stream { "stream " } else { "" };
            format!(
                "{}({}{}) {}{}",
                method.name(),
                stream(method.is_client_streaming()),
                method.input().name(),
                stream(method.is_server_streaming()),
                method.output().name()
            )
        };
        service.methods().map(row).collect::<Vec<_>>()
    };
    assert_eq!(
        methods("StatisticsService"),
        [
            "GetStatistics(GetStatisticsRequest) WorkspaceStatistics",
            "GetRealtime(GetRealtimeRequest) WorkspaceRealtimeStatistics",
            "GetCumulative(GetCumulativeRequest) WorkspaceCumulativeStatistics",
            "GetCumulativeSeries(GetCumulativeSeriesRequest) GetCumulativeSeriesResponse",
            "WatchRealtime(WatchRealtimeRequest) stream WatchRealtimeResponse",
            "WatchStatistics(WatchStatisticsRequest) stream WatchStatisticsResponse",
            "ListWorkspaces(ListWorkspacesRequest) ListWorkspacesResponse",
            "ListTaskChannels(ListTaskChannelsRequest) ListTaskChannelsResponse",
        ]
    );
    assert_eq!(
        methods("IngestService"),
        [
            "IngestEvents(IngestEventsRequest) IngestEventsResponse",
            "StreamEvents(stream IngestEventsRequest) stream IngestEventsResponse",
        ]
    );
    assert_eq!(
        methods("AdminService"),
        [
            "GetStatus(GetStatusRequest) ServerStatus",
            "ForgetWorkspace(ForgetWorkspaceRequest) ForgetWorkspaceResponse",
            "Backup(BackupRequest) stream BackupResponse",
            "ListDeadLetters(ListDeadLettersRequest) ListDeadLettersResponse",
            "ResendDeadLetters(ResendDeadLettersRequest) ResendDeadLettersResponse",
            "DropDeadLetters(DropDeadLettersRequest) DropDeadLettersResponse",
        ]
    );
}

/// The comments are the API reference, so that nothing may be without one.
#[test]
fn every_element_of_the_contract_is_described() {
    let mut described = 0;
    for file in pool().files().filter(|file| file.package_name() == "tasktally.v1") {
        let descriptor = file.file_descriptor_proto();
        let locations = &descriptor.source_code_info.as_ref().unwrap().location;
        let mut check = |path: &[i32], name: &str| {
            let comment = locations.iter().find(|location| location.path == path).map(|l| l.leading_comments());
            assert!(comment.is_some_and(|comment| comment.trim().len() > 5), "{name} in {}", file.name());
            described += 1;
        };
        for (message, at) in descriptor.message_type.iter().zip(0..) {
            check(&[4, at], message.name());
            message.field.iter().zip(0..).for_each(|(field, n)| check(&[4, at, 2, n], field.name()));
        }
        for (kind, at) in descriptor.enum_type.iter().zip(0..) {
            check(&[5, at], kind.name());
            kind.value.iter().zip(0..).for_each(|(value, n)| check(&[5, at, 2, n], value.name()));
        }
        for (service, at) in descriptor.service.iter().zip(0..) {
            check(&[6, at], service.name());
            service.method.iter().zip(0..).for_each(|(method, n)| check(&[6, at, 2, n], method.name()));
        }
    }
    assert!(described > 200, "{described}");
}
