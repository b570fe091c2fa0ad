//! The bounds on what callers can make the server hold, each with the number that `limits.rs` gives the reason for.

use clap::Args;

use super::shown::Fitted;
use crate::limits;

/// The part of the help that every bound stands in, and of which README's table has a row for each.
pub(super) const BOUNDS: &str = "Bounds on what callers can make the server hold";

/// How much callers can make the server hold. The name of a bound in errors is that of its flag: `max_watchers` for
/// `--max-watchers`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct BoundsConfig {
    /// Bytes of one message after decompression. Clients of most languages take answers of 4MiB at most, so larger
    /// requests are rarely what is wanted; send more calls instead.
    #[arg(long, env = "TASKTALLY_MAX_MESSAGE_BYTES", value_name = "BYTES", default_value = "4MiB", value_parser = bytes, help_heading = BOUNDS)]
    pub max_message_bytes: usize,

    /// Events in one call of IngestService. Above 1000 a call nothing is gained.
    #[arg(long, env = "TASKTALLY_MAX_EVENTS_PER_CALL", value_name = "N", default_value_t = limits::EVENTS_PER_CALL, value_parser = number, help_heading = BOUNDS)]
    pub max_events_per_call: usize,

    /// Bytes of a name in an event: of a task channel, activity, worker, queue or workflow.
    #[arg(long, env = "TASKTALLY_MAX_NAME_BYTES", value_name = "N", default_value_t = limits::NAME_BYTES, value_parser = number, help_heading = BOUNDS)]
    pub max_name_bytes: usize,

    /// Bytes of ingest requests that are being read or have no answer yet, over all connections. A call beyond them is
    /// refused before it is read; a stream waits. Room for half a second of work is enough.
    #[arg(long, env = "TASKTALLY_MAX_INGEST_BYTES", value_name = "BYTES", default_value = "64MiB", value_parser = bytes, help_heading = BOUNDS)]
    pub max_ingest_bytes: usize,

    /// Events that wait or are under way in one partition. More wait longer; they do not become more a second.
    #[arg(long, env = "TASKTALLY_MAX_QUEUED_EVENTS", value_name = "N", default_value_t = limits::QUEUED_EVENTS, value_parser = number, help_heading = BOUNDS)]
    pub max_queued_events: usize,

    /// Questions that wait for one partition. Events do not take their places.
    #[arg(long, env = "TASKTALLY_MAX_QUEUED_QUESTIONS", value_name = "N", default_value_t = limits::QUEUED_QUESTIONS, value_parser = number, help_heading = BOUNDS)]
    pub max_queued_questions: usize,

    /// Calls of WatchRealtime and WatchStatistics at a time; some 6 to 8 KB each.
    #[arg(long, env = "TASKTALLY_MAX_WATCHERS", value_name = "N", default_value_t = limits::WATCHERS, value_parser = number, help_heading = BOUNDS)]
    pub max_watchers: usize,

    /// The same, of the workspaces of one account.
    #[arg(long, env = "TASKTALLY_MAX_WATCHERS_PER_ACCOUNT", value_name = "N", default_value_t = limits::WATCHERS_PER_ACCOUNT, value_parser = number, help_heading = BOUNDS)]
    pub max_watchers_per_account: usize,

    /// Sessions of browsers that look at the wallboard, where callers need credentials; one in ten of them for one entry.
    #[arg(long, env = "TASKTALLY_MAX_WALLBOARD_SESSIONS", value_name = "N", default_value_t = limits::SESSIONS, value_parser = number, help_heading = BOUNDS)]
    pub max_wallboard_sessions: usize,

    /// Workspaces in all.
    #[arg(long, env = "TASKTALLY_MAX_WORKSPACES", value_name = "N", default_value_t = limits::WORKSPACES, value_parser = number, help_heading = BOUNDS)]
    pub max_workspaces: usize,

    /// Workspaces of one account.
    #[arg(long, env = "TASKTALLY_MAX_WORKSPACES_PER_ACCOUNT", value_name = "N", default_value_t = limits::WORKSPACES_PER_ACCOUNT, value_parser = number, help_heading = BOUNDS)]
    pub max_workspaces_per_account: usize,

    /// Task channels of one workspace: their names, and their sids likewise.
    #[arg(long, env = "TASKTALLY_MAX_CHANNELS_PER_WORKSPACE", value_name = "N", default_value_t = limits::CHANNELS_PER_WORKSPACE, value_parser = number, help_heading = BOUNDS)]
    pub max_channels_per_workspace: usize,

    /// The same, over all workspaces of one account.
    #[arg(long, env = "TASKTALLY_MAX_CHANNELS_PER_ACCOUNT", value_name = "N", default_value_t = limits::CHANNELS_PER_ACCOUNT, value_parser = number, help_heading = BOUNDS)]
    pub max_channels_per_account: usize,

    /// Workers of one workspace, deleted ones included, since a deletion is remembered for ever.
    #[arg(long, env = "TASKTALLY_MAX_WORKERS_PER_WORKSPACE", value_name = "N", default_value_t = limits::WORKERS_PER_WORKSPACE, value_parser = number, help_heading = BOUNDS)]
    pub max_workers_per_workspace: usize,

    /// The same, over all workspaces of one account.
    #[arg(long, env = "TASKTALLY_MAX_WORKERS_PER_ACCOUNT", value_name = "N", default_value_t = limits::WORKERS_PER_ACCOUNT, value_parser = number, help_heading = BOUNDS)]
    pub max_workers_per_account: usize,

    /// Activities of one workspace; each is a row of every real-time answer.
    #[arg(long, env = "TASKTALLY_MAX_ACTIVITIES_PER_WORKSPACE", value_name = "N", default_value_t = limits::ACTIVITIES_PER_WORKSPACE, value_parser = number, help_heading = BOUNDS)]
    pub max_activities_per_workspace: usize,

    /// The same, over all workspaces of one account.
    #[arg(long, env = "TASKTALLY_MAX_ACTIVITIES_PER_ACCOUNT", value_name = "N", default_value_t = limits::ACTIVITIES_PER_ACCOUNT, value_parser = number, help_heading = BOUNDS)]
    pub max_activities_per_account: usize,

    /// Tasks of one workspace that are active or ended lately; some 150 bytes each.
    #[arg(long, env = "TASKTALLY_MAX_TASKS_PER_WORKSPACE", value_name = "N", default_value_t = limits::ACTIVE_TASKS_PER_WORKSPACE, value_parser = number, help_heading = BOUNDS)]
    pub max_tasks_per_workspace: usize,

    /// The same, over all workspaces of one account.
    #[arg(long, env = "TASKTALLY_MAX_TASKS_PER_ACCOUNT", value_name = "N", default_value_t = limits::ACTIVE_TASKS_PER_ACCOUNT, value_parser = number, help_heading = BOUNDS)]
    pub max_tasks_per_account: usize,

    /// Priorities that active tasks of one workspace have; each is a row of every real-time answer.
    #[arg(long, env = "TASKTALLY_MAX_PRIORITIES_PER_WORKSPACE", value_name = "N", default_value_t = limits::PRIORITIES_PER_WORKSPACE, value_parser = number, help_heading = BOUNDS)]
    pub max_priorities_per_workspace: usize,

    /// Real-time answers kept ready in one partition; beyond them each question is answered afresh.
    #[arg(long, env = "TASKTALLY_MAX_CACHED_VIEWS", value_name = "N", default_value_t = limits::CACHED_VIEWS, value_parser = number, help_heading = BOUNDS)]
    pub max_cached_views: usize,

    /// The same, of one workspace.
    #[arg(long, env = "TASKTALLY_MAX_CACHED_VIEWS_PER_WORKSPACE", value_name = "N", default_value_t = limits::CACHED_CHANNEL_VIEWS, value_parser = number, help_heading = BOUNDS)]
    pub max_cached_views_per_workspace: usize,

    /// Rows of one page of a list; a larger page_size counts as this one. At most 1000.
    #[arg(long, env = "TASKTALLY_MAX_PAGE_SIZE", value_name = "N", default_value_t = limits::PAGE_SIZE_MAX, value_parser = page_size, help_heading = BOUNDS)]
    pub max_page_size: usize,

    /// Dead letters: events that came in over HTTP, were refused, and are kept to be sent again. Where another one would be
    /// too many, the oldest goes; the log says so.
    #[arg(long, env = "TASKTALLY_MAX_DEAD_LETTERS", value_name = "N", default_value_t = limits::DEAD_LETTERS, value_parser = number, help_heading = BOUNDS)]
    pub max_dead_letters: usize,

    /// The same, of those that one account's credentials brought.
    #[arg(long, env = "TASKTALLY_MAX_DEAD_LETTERS_PER_ACCOUNT", value_name = "N", default_value_t = limits::DEAD_LETTERS_PER_ACCOUNT, value_parser = number, help_heading = BOUNDS)]
    pub max_dead_letters_per_account: usize,

    /// Bytes of dead letters, as they came and 512 for each. The newest one is kept whatever its size.
    #[arg(long, env = "TASKTALLY_MAX_DEAD_LETTER_BYTES", value_name = "BYTES", default_value = "256MiB", value_parser = bytes, help_heading = BOUNDS)]
    pub max_dead_letter_bytes: usize,

    /// The same, of those that one account's credentials brought.
    #[arg(long, env = "TASKTALLY_MAX_DEAD_LETTER_BYTES_PER_ACCOUNT", value_name = "BYTES", default_value = "128MiB", value_parser = bytes, help_heading = BOUNDS)]
    pub max_dead_letter_bytes_per_account: usize,

    /// Free space on the disk of --data-dir below which no events are taken, so that the disk is never full; 0 turns it
    /// off. Reads go on, and ingest too once there is space again.
    #[arg(long, env = "TASKTALLY_MIN_FREE_DISK", value_name = "BYTES", default_value = "256MiB", value_parser = bytes_or_none, help_heading = BOUNDS)]
    pub min_free_disk: u64,
}

/// A bound of [`BoundsConfig`], by the name of its field.
type Bound = (&'static str, fn(&mut BoundsConfig) -> &mut usize);

macro_rules! bounds {
    ($($less:ident <= $more:ident,)*) => {
        [$((
            (stringify!($less), |bounds| &mut bounds.$less),
            (stringify!($more), |bounds| &mut bounds.$more),
        )),*]
    };
}

/// Which is never more than which. A bound that another follows from stands before that.
const AT_MOST: [(Bound, Bound); 12] = bounds![
    max_events_per_call <= max_queued_events,
    max_message_bytes <= max_ingest_bytes,
    max_name_bytes <= max_message_bytes,
    max_watchers_per_account <= max_watchers,
    max_workspaces_per_account <= max_workspaces,
    max_channels_per_workspace <= max_channels_per_account,
    max_workers_per_workspace <= max_workers_per_account,
    max_activities_per_workspace <= max_activities_per_account,
    max_tasks_per_workspace <= max_tasks_per_account,
    max_cached_views_per_workspace <= max_cached_views,
    max_dead_letters_per_account <= max_dead_letters,
    max_dead_letter_bytes_per_account <= max_dead_letter_bytes,
];

impl BoundsConfig {
    /// Lowers what was not given to what was: who asks for 100 watchers in all need not say that one account has no more.
    /// Answers which follow which.
    pub(super) fn fit(&mut self, is_given: impl Fn(&str) -> bool) -> Vec<Fitted> {
        let mut fitted = Vec::new();
        for ((name, less), (other, more)) in AT_MOST {
            let most = *more(self);
            if !is_given(name) && *less(self) > most {
                *less(self) = most;
                fitted.push((name, other, most));
            }
        }
        fitted
    }

    /// What is wrong with the bounds as a whole, in a sentence.
    pub(super) fn contradiction(&self) -> Option<String> {
        let mut bounds = self.clone();
        let flag = |name: &str| format!("--{}", name.replace('_', "-"));
        let mut at_most = AT_MOST
            .into_iter()
            .map(|((name, less), (other, more))| (flag(name), *less(&mut bounds), flag(other), *more(&mut bounds)));
        let broken = at_most.find(|(_, less, _, more)| less > more);
        let largest_call = ("--max-events-per-call", self.max_events_per_call, limits::PIPELINE_CALL_EVENTS);
        broken
            .map(|(flag, less, other, more)| {
                format!("{flag} {less} is more than {other} {more}: set {flag} to at most {more}, or raise {other}")
            })
            .or_else(|| {
                let (flag, events, most) = largest_call;
                (events > most).then(|| format!("{flag} {events} is more than a group commit can take: at most {most}"))
            })
            .or_else(|| self.page_too_large())
    }

    /// A page must fit into a message that clients take by default.
    fn page_too_large(&self) -> Option<String> {
        let bytes = self.max_page_size.saturating_mul(self.max_name_bytes.saturating_add(limits::PAGE_ROW_BYTES));
        (bytes > limits::MESSAGE_BYTES).then(|| {
            format!(
                "a page of --max-page-size {} names of --max-name-bytes {} would not fit into the {} bytes that clients \
                 take: lower one of them",
                self.max_page_size,
                self.max_name_bytes,
                limits::MESSAGE_BYTES
            )
        })
    }
}

fn number(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        Ok(_) => Err("must be at least 1".to_owned()),
        Err(_) => Err("must be a number".to_owned()),
    }
}

fn page_size(text: &str) -> Result<usize, String> {
    let rows = number(text)?;
    if rows <= limits::PAGE_SIZE_MAX { Ok(rows) } else { Err(format!("must be from 1 to {}", limits::PAGE_SIZE_MAX)) }
}

pub(super) fn bytes(text: &str) -> Result<usize, String> {
    match usize::try_from(bytes_or_none(text)?) {
        Ok(bytes @ limits::SMALLEST_BYTES_SETTING..=limits::LARGEST_BYTES_SETTING) => Ok(bytes),
        _ => Err("must be from 1KiB to 1TiB".to_owned()),
    }
}

/// `0`, `65536`, `64KiB`, `4MiB`, `1GiB`.
///
/// # Errors
/// Why it is none of these.
pub fn bytes_or_none(text: &str) -> Result<u64, String> {
    let (digits, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1_u64 << 40,
        _ => return Err("must be a number of bytes, or of KiB, MiB, GiB or TiB".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "must begin with a number".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "is more than any disk has".to_owned())
}
