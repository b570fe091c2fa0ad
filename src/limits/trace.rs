//! Bounds of what is traced. Callers decide which of their calls are, and with it how much there is.

use std::time::Duration;

/// Spans that wait for the collector, or are being sent; some 1 KB each. More are dropped, and counted.
pub const TRACE_QUEUE_SPANS: usize = 8_192;

/// Spans of one message to the collector: some 200 KB, where collectors take 4 MiB.
pub const TRACE_BATCH_SPANS: usize = 512;

/// Time after which spans are sent, however few there are.
pub const TRACE_EXPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Time for the collector to take one batch.
pub const TRACE_EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two log lines about spans that are lost.
pub const TRACE_SAY_EVERY: Duration = Duration::from_secs(60);

/// Messages of one stream that are told of for themselves: as children of its span where they bring events, as events of
/// it where they are answers. A stream may last for days; what is behind is counted in its span.
pub const TRACED_MESSAGES: u32 = 32;

const _: () = assert!(TRACE_BATCH_SPANS <= TRACE_QUEUE_SPANS);
const _: () = assert!(TRACED_MESSAGES < 128, "the library keeps 128 events of a span");
