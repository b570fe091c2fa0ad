//! Bounds of `tasktally import-taskrouter`.

use std::time::Duration;

/// Events of one page of TaskRouter's Events API, which takes no more.
pub const IMPORT_PAGE_EVENTS: usize = 1_000;

/// Bytes of one page: a thousand events of several KiB each, with room.
pub const IMPORT_PAGE_BYTES: usize = 64 * 1024 * 1024;

/// Pages of a window above which the next one is made shorter, so that paging stays shallow, where it is cheap for the
/// other side; and below which it is made longer, so that a quiet month takes few requests.
pub const IMPORT_PAGES_MANY: u32 = 8;
pub const IMPORT_PAGES_FEW: u32 = 2;

/// Pages of one window, whatever is there: 10 million events in the shortest one are no contact centre's, but a server's
/// that always names a next page.
pub const IMPORT_PAGES_MAX: u32 = 10_000;

/// Shortest and longest window.
pub const IMPORT_WINDOW_MIN: Duration = Duration::from_secs(60);
pub const IMPORT_WINDOW_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Pause before a page is asked for again; it doubles with each further time.
pub const IMPORT_BACKOFF_MIN: Duration = Duration::from_millis(250);
pub const IMPORT_BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Bytes of the file that says how far an import is.
pub const IMPORT_RESUME_BYTES: u64 = 4 * 1024 * 1024;

const _: () = assert!(IMPORT_PAGES_FEW < IMPORT_PAGES_MANY && IMPORT_PAGES_MANY < IMPORT_PAGES_MAX);
