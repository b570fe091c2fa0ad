//! Producers: they send each batch until it is acknowledged, and check every answer.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tasktally::api::decode;
use tasktally::api::proto::v1::{self, RejectionReason};
use tasktally::event::Event;
use tasktally::simulate::timestamp_ms;
use tokio::sync::{OwnedRwLockReadGuard, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::source::{Fate, Item, Source};
use super::world::{Place, RETENTION_MS, World, add, count};
use crate::common::calls::Client;
use crate::common::in_time;
use crate::common::stalled::client_at;

/// Batches that wait for a producer.
const WAITING: usize = 8;
/// Requests of one stream that wait for their answers.
const STREAM_WINDOW: usize = 4;
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Events that are older than this before they are first sent never come about. When the machine is too slow for the load
/// it is so for the producers too; and what is in doubt after a kill needs time to be settled: here 18 seconds.
const OLDEST_SENT_MS: i64 = RETENTION_MS / 8 * 3;
/// Batches that a producer sends over one connection.
const CONNECTION_BATCHES: u32 = 60;

pub type Batches = Arc<tokio::sync::Mutex<mpsc::Receiver<Vec<Item>>>>;

/// A batch that is under way, and the workspaces that nobody may compare meanwhile.
struct UnderWay {
    batch: Vec<Item>,
    homes: Vec<usize>,
    _held: Vec<OwnedRwLockReadGuard<()>>,
    /// It is not known what became of it the last time.
    in_doubt: bool,
}

/// Makes batches as the clock goes on, until the run is over.
pub fn feed(world: Arc<World>, mut source: Source) -> (impl Future<Output = ()>, Batches) {
    let (batches, there) = mpsc::channel(WAITING);
    let feeding = async move {
        while !world.is_over() {
            let mut waiting = source.advance(&world, world.clock.now_ms());
            while waiting > 0 && !world.is_over() {
                let batch = source.batch(&world);
                if batches.send(batch).await.is_err() {
                    return;
                }
                waiting = source.advance(&world, world.clock.now_ms());
                if source.draw().random_bool(0.3) {
                    break;
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    (feeding, Arc::new(tokio::sync::Mutex::new(there)))
}

impl UnderWay {
    async fn begin(world: &World, mut batch: Vec<Item>) -> UnderWay {
        let named: BTreeSet<usize> = batch.iter().filter_map(|item| world.home_of(&item.event.workspace_sid)).collect();
        let homes: Vec<usize> = named.into_iter().collect();
        let held = world.hold(&homes).await;
        let oldest_ms = world.clock.now_ms() - OLDEST_SENT_MS;
        batch.retain(|item| matches!(item.fate, Fate::Refused(_)) || timestamp_ms(&item.event) >= oldest_ms);
        UnderWay { batch, _held: held, homes, in_doubt: false }
    }

    fn request(&self) -> v1::IngestEventsRequest {
        v1::IngestEventsRequest { events: self.batch.iter().map(|item| item.event.clone()).collect() }
    }

    /// Checks the answers to as many equal requests as were sent at a time, and learns what is there now.
    fn settle(self, world: &World, answers: &[v1::IngestEventsResponse]) {
        let oldest_ms = world.clock.now_ms() - RETENTION_MS;
        let mut refused: BTreeMap<usize, RejectionReason> = BTreeMap::new();
        let mut refusals: HashMap<usize, usize> = HashMap::new();
        for answer in answers {
            let sum = answer.accepted + answer.duplicates + answer.rejected.len() as i64;
            assert_eq!(sum, self.batch.len() as i64, "{answer:?}");
            for rejected in &answer.rejected {
                refused.insert(rejected.index as usize, rejected.reason());
                *refusals.entry(rejected.index as usize).or_default() += 1;
            }
        }
        // It may have become too old after one of them was taken.
        refused.retain(|index, _| refusals[index] == answers.len());
        let (mut new, mut learned, mut acknowledged) = (0, HashMap::<usize, Vec<Event>>::new(), Vec::new());
        for (index, item) in self.batch.iter().enumerate() {
            match (item.fate, refused.get(&index)) {
                // On a slow machine anything may have become too old on its way.
                (Fate::Refused(_), Some(RejectionReason::TooOld))
                    if item.event.timestamp.is_some() && timestamp_ms(&item.event) < oldest_ms => {}
                (Fate::Refused(expected), found) => assert_eq!(found, Some(&expected), "{:?}", item.event),
                (_, Some(RejectionReason::TooOld)) if timestamp_ms(&item.event) < oldest_ms => {
                    assert!(
                        !(self.in_doubt && item.fate == Fate::New),
                        "the machine was so slow that an event in doubt is too old to be settled; a longer run at a \
                         lower TASKTALLY_SOAK_SPEED may do"
                    );
                }
                (_, Some(reason)) => panic!("refused as {reason:?}: {item:?}"),
                (Fate::New, None) => {
                    new += 1;
                    let home = world.home_of(&item.event.workspace_sid).expect("new events have a home");
                    learned.entry(home).or_default().push(decoded(&item.event));
                    acknowledged.push(item.event.clone());
                }
                (Fate::Again | Fate::Known, None) => {}
            }
        }
        let accepted: i64 = answers.iter().map(|answer| answer.accepted).sum();
        let duplicates: i64 = answers.iter().map(|answer| answer.duplicates).sum();
        if self.in_doubt {
            assert!(accepted <= new, "{accepted} accepted, at most {new} were new");
        } else {
            assert_eq!(accepted, new, "as many are accepted as were new");
        }
        let revision = answers.iter().map(|answer| answer.revision).max().expect("an answer at least");
        let now_ms = world.clock.now_ms();
        for (home, events) in learned {
            world.homes[home].learn(events, revision, now_ms);
        }
        add(&world.counts.accepted, new as u64);
        add(&world.counts.duplicates, duplicates as u64);
        add(&world.counts.refused, refused.len() as u64);
        count(&world.counts.batches);
        world.remember(acknowledged);
        debug_assert!(self.homes.is_sorted());
    }
}

/// An event as the server reads it.
fn decoded(event: &v1::Event) -> Event {
    let request = v1::IngestEventsRequest { events: vec![event.clone()] };
    let batch = decode::batch(&request.encode_to_vec().into(), 1).expect("what was encoded can be read");
    let (_, read) = batch.events.into_iter().next().unwrap_or_else(|| panic!("lawful: {event:?}"));
    read
}

/// A connection of one's own; `None` when the run is over.
pub async fn connect(world: &World) -> Option<(Place, Client)> {
    loop {
        let place = world.place().await?;
        match client_at(place.address.clone()).await {
            Ok((client, _)) => {
                count(&world.counts.connections);
                return Some((place, client));
            }
            Err(error) => world.excuse(&place, "a connection", &error),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn next_batch(batches: &Batches) -> Option<Vec<Item>> {
    batches.lock().await.recv().await
}

/// Sends batch after batch, each in a call of its own.
pub async fn call(world: Arc<World>, batches: Batches, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    while let Some((place, client)) = connect(&world).await {
        for _ in 0..CONNECTION_BATCHES {
            let Some(batch) = next_batch(&batches).await else { return };
            let under_way = UnderWay::begin(&world, batch).await;
            let fate = rng.random_range(0..100);
            let done = match fate {
                0..5 => send_twice(&client, &under_way).await.map(Some),
                5..8 => Ok(send_and_leave(&client, &under_way, &mut rng).await),
                _ => client.send(under_way.request().events).await.map(|answer| Some(vec![answer])),
            };
            match done {
                Ok(Some(answers)) => under_way.settle(&world, &answers),
                Ok(None) => {
                    count(&world.counts.broken);
                    drop(client);
                    send_again(&world, under_way).await;
                    break;
                }
                Err(status) => {
                    world.excuse(&place, "a call", &status);
                    send_again(&world, under_way).await;
                    break;
                }
            }
        }
    }
}

/// The same batch twice at a time.
async fn send_twice(client: &Client, under_way: &UnderWay) -> Result<Vec<v1::IngestEventsResponse>, Status> {
    let send = || async { client.send(under_way.request().events).await };
    let (one, other) = tokio::join!(send(), send());
    Ok(vec![one?, other?])
}

/// The caller may have gone before the answer comes.
async fn send_and_leave(
    client: &Client,
    under_way: &UnderWay,
    rng: &mut impl Rng,
) -> Option<Vec<v1::IngestEventsResponse>> {
    let patience = Duration::from_micros(rng.random_range(0..4_000));
    let sent = tokio::time::timeout(patience, client.send(under_way.request().events)).await;
    sent.ok().and_then(Result::ok).map(|answer| vec![answer])
}

/// Sends what is in doubt until there is an answer, the run being over or not: only then it is known what is there.
async fn send_again(world: &World, mut under_way: UnderWay) {
    under_way.in_doubt = true;
    count(&world.counts.repeated);
    let sent = async {
        loop {
            let place = world.place.borrow().clone();
            if let Some(place) = place {
                match client_at(place.address.clone()).await {
                    Ok((client, _)) => match client.send(under_way.request().events).await {
                        Ok(answer) => return answer,
                        Err(status) => world.excuse(&place, "a call", &status),
                    },
                    Err(error) => world.excuse(&place, "a connection", &error),
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let answer = in_time("what is in doubt is settled", sent).await;
    under_way.settle(world, &[answer]);
}

/// Likewise over streams, with several requests on their way.
pub async fn stream(world: Arc<World>, batches: Batches, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    while let Some((place, client)) = connect(&world).await {
        let (requests, there) = mpsc::channel(STREAM_WINDOW);
        let (sent, unanswered) = mpsc::channel::<UnderWay>(STREAM_WINDOW);
        let answering = tokio::spawn(answers(world.clone(), client, place, ReceiverStream::new(there), unanswered));
        for _ in 0..rng.random_range(1..CONNECTION_BATCHES) {
            let Some(batch) = next_batch(&batches).await else { break };
            let under_way = UnderWay::begin(&world, batch).await;
            let request = under_way.request();
            // Whoever reads the answers settles it, whatever becomes of the stream.
            if let Err(mpsc::error::SendError(under_way)) = sent.send(under_way).await {
                send_again(&world, under_way).await;
                break;
            }
            if requests.send(request).await.is_err() {
                break;
            }
        }
        drop((requests, sent));
        answering.await.expect("the answers are as they should be");
    }
}

/// Reads the answers of one stream; settles what it leaves open in other ways.
async fn answers(
    world: Arc<World>,
    client: Client,
    place: Place,
    requests: ReceiverStream<v1::IngestEventsRequest>,
    mut unanswered: mpsc::Receiver<UnderWay>,
) {
    let mut open: VecDeque<UnderWay> = VecDeque::new();
    let failed = async {
        let mut answers = client.ingest().stream_events(requests).await?.into_inner();
        while let Some(under_way) = unanswered.recv().await {
            open.push_back(under_way);
            match answers.message().await? {
                Some(answer) => {
                    open.pop_front().expect("just put there").settle(&world, &[answer]);
                    count(&world.counts.streamed);
                }
                None => return Err(Status::unknown("the stream ended well while requests wait for answers")),
            }
        }
        Ok::<_, Status>(())
    };
    if let Err(status) = failed.await {
        world.excuse(&place, "a stream", &status);
        unanswered.close();
        while let Some(under_way) = unanswered.recv().await {
            open.push_back(under_way);
        }
        for under_way in open {
            send_again(&world, under_way).await;
        }
    }
}
