//! Random histories. What is drawn is a plan in terms of "now", "the end of that task" or "like that event"; it becomes
//! times and events when it is carried out, so that a plan still makes sense after it was shrunk.

// Longer than 400 lines because it draws every kind of event and question.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use tasktally::engine::{ChannelFilter, Window};
use tasktally::event::{DAY_MS, Event, EventKind, HOUR_MS, MINUTE_MS, Millis, TaskStatus, Worker};

use super::build::{self, Saying};
use super::model::Model;

const FIVE_MINUTES_MS: i64 = 5 * MINUTE_MS;

/// A moment, told from where it matters; the last number of each is added, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub enum When {
    Now(i64),
    /// Five minutes ago.
    Lately(i64),
    /// The retention ago.
    Horizon(i64),
    /// The most that an event may be dated ahead.
    Ahead(i64),
    /// The retention after the n-th event that ends its task.
    AfterEnd(usize, i64),
    /// The moment of the n-th event.
    Like(usize, i64),
    /// This many 1024ths of the retention ago.
    Ago(i64),
    /// The n-th edge of this many seconds before now.
    Edge(i64, i64, i64),
}

fn a_little() -> BoxedStrategy<i64> {
    prop_oneof![4 => Just(0), 4 => select(vec![-1, 1]), 2 => select(vec![-1001, -1000, -999, 999, 1000, 1001])].boxed()
}

pub fn when() -> BoxedStrategy<When> {
    let spans = vec![1, 10, 60, 600, 900, 3600, 21_600, 86_400, 691_200];
    prop_oneof![
        4 => a_little().prop_map(When::Now),
        2 => (-2 * FIVE_MINUTES_MS..FIVE_MINUTES_MS).prop_map(When::Now),
        2 => a_little().prop_map(When::Lately),
        2 => a_little().prop_map(When::Horizon),
        2 => a_little().prop_map(When::Ahead),
        3 => (0usize..20, a_little()).prop_map(|(n, ms)| When::AfterEnd(n, ms)),
        4 => (0usize..60, a_little()).prop_map(|(n, ms)| When::Like(n, ms)),
        3 => (0i64..1024).prop_map(When::Ago),
        3 => (select(spans), 0i64..5, a_little()).prop_map(|(span, back, ms)| When::Edge(span, back, ms)),
    ]
    .boxed()
}

impl When {
    pub fn resolve(self, model: &Model, now: i64) -> i64 {
        let nth = |n: usize, of: Vec<&Event>| if of.is_empty() { now } else { of[n % of.len()].at.0 };
        match self {
            When::Now(ms) => now + ms,
            When::Lately(ms) => now - FIVE_MINUTES_MS + ms,
            When::Horizon(ms) => now - model.retention_ms + ms,
            When::Ahead(ms) => now + FIVE_MINUTES_MS + ms,
            When::AfterEnd(n, ms) => {
                let ends = |event: &&Event| event.ends_task();
                nth(n, model.accepted.iter().filter(ends).collect()) + model.retention_ms + ms
            }
            When::Like(n, ms) => nth(n, model.accepted.iter().collect()) + ms,
            When::Ago(parts) => now - model.retention_ms / 1024 * parts,
            When::Edge(span, back, ms) => (now.div_euclid(span * 1000) - back) * span * 1000 + ms,
        }
    }
}

/// What one event is to say. Objects come from small pools, so that events meet.
#[derive(Clone, Debug)]
pub struct Plan {
    kind: EventKind,
    at: When,
    sid: u32,
    workspace: u32,
    /// Whether the account is the one that most events of the workspace have.
    usual_account: bool,
    task: u32,
    status: TaskStatus,
    priority: i32,
    channel: usize,
    channel_sid: Option<u32>,
    versions: (i64, i64),
    waited_ms: i64,
    /// Of a deletion: whether it says more than the task's sid.
    full: bool,
    worker: Option<u32>,
    activity: Option<u32>,
    activity_name: Option<usize>,
}

/// Ascending neither by length nor by first letter, as bytes not as people sort.
pub const CHANNELS: [&str; 4] = ["voice", "chat", "Voice", "élan"];
const ACTIVITY_NAMES: [&str; 3] = ["Idle", "idle", "Break"];
/// Ids of channels, workers and activities.
const POOL: u32 = 3;
const TASKS: u32 = 4;
pub const WORKSPACES: u32 = 3;

fn kind() -> BoxedStrategy<EventKind> {
    use EventKind::*;
    let about_tasks: Vec<EventKind> = EventKind::ALL.into_iter().filter(|kind| kind.carried().task).collect();
    let workers =
        vec![WorkerCreated, WorkerDeleted, WorkerActivityUpdate, WorkerActivityUpdate, WorkerAttributesUpdate];
    prop_oneof![
        8 => select(about_tasks),
        4 => select(vec![TaskCreated, TaskUpdated, ReservationAccepted, TaskCanceled, TaskCompleted]),
        4 => select(workers),
        2 => select(vec![ActivityCreated, ActivityUpdated, ActivityDeleted]),
        1 => select(EventKind::ALL.to_vec()),
    ]
    .boxed()
}

fn status() -> BoxedStrategy<TaskStatus> {
    prop_oneof![
        6 => Just(TaskStatus::Pending),
        2 => Just(TaskStatus::Reserved),
        2 => Just(TaskStatus::Assigned),
        1 => Just(TaskStatus::Wrapping),
        2 => Just(TaskStatus::Completed),
        2 => Just(TaskStatus::Canceled),
    ]
    .boxed()
}

fn waited_ms() -> BoxedStrategy<i64> {
    let edges = vec![0, 1, 999, 1000, 1001, 1999, 2000, 9_999, 10_000, 10_001, 59_999, 60_000, 2_592_000_000];
    prop_oneof![4 => select(edges), 1 => -5000i64..0, 2 => 0i64..100_000, 1 => 0i64..40 * DAY_MS].boxed()
}

pub fn plan() -> BoxedStrategy<Plan> {
    let identity = (kind(), when(), 0u32..1000, 0..WORKSPACES, prop::bool::weighted(0.97));
    let about_task = (0..TASKS, status(), -1i32..2, 0..CHANNELS.len(), option::weighted(0.4, 0..POOL));
    let task_more = ((0i64..3, 0i64..3), waited_ms(), prop::bool::ANY);
    let worker = (option::weighted(0.7, 0..POOL), option::weighted(0.8, 0..POOL));
    let name = option::weighted(0.6, 0..ACTIVITY_NAMES.len());
    (identity, about_task, task_more, worker, name)
        .prop_map(|(identity, about_task, task_more, worker, name)| {
            let (kind, at, sid, workspace, usual_account) = identity;
            let (task, status, priority, channel, channel_sid) = about_task;
            let (versions, waited_ms, full) = task_more;
            let (worker, activity) = worker;
            let activity_name = name;
            Plan {
                kind,
                at,
                sid,
                workspace,
                usual_account,
                task,
                status,
                priority,
                channel,
                channel_sid,
                versions,
                waited_ms,
                full,
                worker,
                activity,
                activity_name,
            }
        })
        .boxed()
}

impl Plan {
    pub fn resolve(&self, model: &Model, now: i64) -> Event {
        self.made_at(self.at.resolve(model, now))
    }

    fn made_at(&self, at: i64) -> Event {
        let home = self.workspace;
        let mut event = build::event(self.kind, at).sid(self.sid).workspace(home);
        event = event.account(if self.usual_account { home } else { home + 1 });
        if event.task.is_some() {
            event = event
                .task(self.task)
                .status(self.status)
                .priority(self.priority)
                .channel(CHANNELS[self.channel])
                .created(at - self.waited_ms)
                .task_version(self.versions.0);
            if let Some(sid) = self.channel_sid {
                event = event.channel_sid(sid);
            }
            if self.kind.deletes_task() && !self.full {
                event = event.bare();
            }
        }
        let states_activity = matches!(self.kind, EventKind::WorkerCreated | EventKind::WorkerActivityUpdate);
        let has_worker = self.worker.is_some() || states_activity || self.kind == EventKind::WorkerDeleted;
        event.worker = (self.kind.carried().worker && has_worker).then(|| Worker {
            sid: build::worker(self.worker.unwrap_or(0)),
            name: None,
            activity_sid: self.activity.or(states_activity.then_some(0)).map(build::activity),
            activity_name: self.activity_name.map(|name| ACTIVITY_NAMES[name].into()),
            version: self.versions.1,
        });
        if event.activity.is_some() {
            event = event.activity(self.activity.unwrap_or(0));
            event = match self.activity_name {
                Some(name) => event.named(ACTIVITY_NAMES[name]),
                None if self.kind == EventKind::ActivityDeleted => event.nameless(),
                None => event.named("Lunch"),
            };
        }
        event
    }
}

/// One event that is offered.
#[derive(Clone, Debug)]
pub enum Offer {
    New(Plan),
    /// The n-th event once more, as it was.
    Again(usize),
    /// The n-th event's identity with other content, this many milliseconds into its second.
    Altered(usize, Plan, i64),
    /// An event that no figure uses, in a workspace of its own.
    Nothing,
}

pub fn offer() -> BoxedStrategy<Offer> {
    prop_oneof![
        10 => plan().prop_map(Offer::New),
        2 => (0usize..80).prop_map(Offer::Again),
        1 => (0usize..80, plan(), 0i64..1000).prop_map(|(n, plan, ms)| Offer::Altered(n, plan, ms)),
    ]
    .boxed()
}

impl Offer {
    pub fn resolve(&self, model: &Model, now: i64) -> Event {
        let nth = |n: usize| model.accepted.get(n % model.accepted.len().max(1));
        match self {
            Offer::New(plan) => plan.resolve(model, now),
            Offer::Again(n) => nth(*n).cloned().unwrap_or_else(|| Offer::Nothing.resolve(model, now)),
            Offer::Nothing => build::event(EventKind::WorkspaceUpdated, now).workspace(WORKSPACES).account(WORKSPACES),
            Offer::Altered(n, plan, ms) => match nth(*n) {
                Some(first) => {
                    let mut event = plan.made_at(first.second().start().0 + ms);
                    (event.sid, event.workspace, event.account) = (first.sid, first.workspace, first.account);
                    event
                }
                None => plan.resolve(model, now),
            },
        }
    }
}

/// How far the clock moves.
#[derive(Clone, Copy, Debug)]
pub enum Jump {
    By(i64),
    /// So many quarters of the retention, and this many milliseconds.
    Quarters(i64, i64),
    /// To the n-th moment at which time alone may change a figure of this workspace.
    ToEdge(u32, usize, i64),
    /// To an hour and five minutes, or the retention, or that twice and an hour, after the n-th event.
    Past(usize, u8, i64),
}

pub fn jump() -> BoxedStrategy<Jump> {
    let steps = vec![1, 999, 1000, 1001, 60_000, 299_999, 300_000, 300_001, HOUR_MS, 40 * DAY_MS];
    prop_oneof![
        3 => select(steps).prop_map(Jump::By),
        1 => (0i64..10 * MINUTE_MS).prop_map(Jump::By),
        2 => (1i64..6, a_little()).prop_map(|(quarters, ms)| Jump::Quarters(quarters, ms)),
        5 => (0..WORKSPACES, 0usize..6, a_little()).prop_map(|(workspace, n, ms)| Jump::ToEdge(workspace, n, ms)),
        2 => (0usize..80, 0u8..4, a_little()).prop_map(|(n, which, ms)| Jump::Past(n, which, ms)),
    ]
    .boxed()
}

impl Jump {
    /// Never back.
    pub fn resolve(self, model: &Model, now: i64) -> i64 {
        let to = match self {
            Jump::By(ms) => now + ms,
            Jump::Quarters(quarters, ms) => now + model.retention_ms / 4 * quarters + ms,
            Jump::ToEdge(workspace, n, ms) => {
                let edges = model.edges_after(build::workspace(workspace), Millis(now));
                edges.get(n % edges.len().max(1)).map_or(now, |edge| edge.0 + ms)
            }
            Jump::Past(n, which, ms) => {
                let span = match which {
                    0 => HOUR_MS + FIVE_MINUTES_MS,
                    1 => model.retention_ms,
                    2 => model.retention_ms + HOUR_MS,
                    _ => 2 * model.retention_ms + HOUR_MS,
                };
                model.accepted.get(n % model.accepted.len().max(1)).map_or(now, |event| event.at.0 + span + ms)
            }
        };
        to.max(now)
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Ask {
    pub workspace: u32,
    pub filter: ChannelFilter,
    window: Span,
    /// The window itself, once it is known.
    fixed: Option<Window>,
    pub thresholds: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
enum Span {
    Default,
    Minutes(u32),
    /// Minutes of the retention, and as many more.
    All(i64),
    From(When),
    Between(When, When),
    Until(When),
}

pub fn filter() -> BoxedStrategy<ChannelFilter> {
    let named = select(CHANNELS.to_vec()).prop_map(|name| ChannelFilter::Named(name.into()));
    prop_oneof![
        3 => Just(ChannelFilter::All),
        3 => named,
        1 => Just(ChannelFilter::Named("nothing".into())),
        3 => (0..=POOL).prop_map(|n| ChannelFilter::Sid(build::tc(n))),
    ]
    .boxed()
}

pub fn ask() -> BoxedStrategy<Ask> {
    let window = prop_oneof![
        1 => Just(Span::Default),
        1 => select(vec![1u32, 5, 15, 60, 1440, 43_200]).prop_map(Span::Minutes),
        4 => (-1i64..2).prop_map(Span::All),
        2 => when().prop_map(Span::From),
        4 => (when(), when()).prop_map(|(one, other)| Span::Between(one, other)),
        2 => when().prop_map(Span::Until),
    ];
    let thresholds = vec(select(vec![1u32, 1, 2, 3, 10, 60, 100, 3600, 2_592_000]), 0..5);
    (0..=WORKSPACES, filter(), window, thresholds)
        .prop_map(|(workspace, filter, window, thresholds)| Ask { workspace, filter, window, fixed: None, thresholds })
        .boxed()
}

impl Ask {
    /// Each filter that may stand for something, over the whole retention.
    pub fn all_of(workspace: u32) -> Vec<Ask> {
        let names = CHANNELS.iter().map(|name| ChannelFilter::Named((*name).into()));
        let sids = (0..=POOL).map(|n| ChannelFilter::Sid(build::tc(n)));
        let window = Span::From(When::Horizon(0));
        let ask = |filter| Ask { workspace, filter, window, fixed: None, thresholds: vec![1, 10] };
        names.chain(sids).chain([ChannelFilter::All]).map(ask).collect()
    }

    /// The same question about this very window, whatever the time.
    pub fn about(&self, window: Window) -> Ask {
        Ask { fixed: Some(window), ..self.clone() }
    }

    pub fn window(&self, model: &Model, now: i64) -> Window {
        if let Some(window) = self.fixed {
            return window;
        }
        let moment = |when: When| Millis(when.resolve(model, now));
        match self.window {
            Span::Default => Window::Default15,
            Span::Minutes(minutes) => Window::Minutes(minutes),
            Span::All(more) => Window::Minutes((model.retention_ms / MINUTE_MS + more).clamp(1, 43_200) as u32),
            Span::From(start) => Window::From(moment(start)),
            Span::Between(one, other) => {
                let (one, other) = (moment(one), moment(other));
                // Mostly the right way round.
                if one <= other || one.0 % 7 == 0 {
                    Window::Between { start: one, end: other }
                } else {
                    Window::Between { start: other, end: one }
                }
            }
            Span::Until(end) => Window::Until(moment(end)),
        }
    }
}

/// From an hour to 30 days; also such as are no whole number of anything.
pub fn retention_ms() -> BoxedStrategy<i64> {
    select(vec![
        HOUR_MS,
        HOUR_MS + 1,
        2 * HOUR_MS - 1,
        5 * HOUR_MS + 1234,
        DAY_MS,
        7 * DAY_MS,
        30 * DAY_MS,
        30 * DAY_MS,
    ])
    .boxed()
}

/// A whole second, one after it, one before the next, or any.
pub fn first_moment() -> BoxedStrategy<i64> {
    (0i64..40 * 86_400, prop_oneof![select(vec![0i64, 1, 999]), 0i64..1000])
        .prop_map(|(second, ms)| (1_800_000_000 + second) * 1000 + ms)
        .boxed()
}
