//! The store through its handle: what is kept, for whom, how much of it, and what damage does.

use std::fs;
use std::path::Path;

use super::*;
use crate::event::AccountSid;

const ROOMY: Bounds = Bounds { letters: 100, bytes: 1 << 20, letters_per_account: 100, bytes_per_account: 1 << 20 };

fn account(number: u8) -> Scope {
    Scope::Account(AccountSid::from_bytes([number; 16]))
}

fn letter(scope: Scope, raw: &str) -> Letter {
    Letter {
        scope,
        form: Form::Callback,
        raw: raw.as_bytes().to_vec(),
        event_sid: format!("EV{raw}"),
        event_type: "task.created".to_owned(),
        workspace_sid: "WSaa".to_owned(),
        reason: Reason { number: 6, field: "account_sid".to_owned(), message: "is another's".to_owned() },
        at: Millis(1_000),
    }
}

fn opened(place: Place, bounds: Bounds) -> Letters {
    let letters = Letters::default();
    letters.open(place, bounds).unwrap();
    letters
}

fn folder(dir: &Path) -> Place {
    Place::Folder(dir.to_path_buf())
}

const ALL_ROWS: Reach = Reach { after: 0, rows: 1_000, raw_bytes: Some(1 << 20) };

impl Letters {
    async fn all(&self, scope: Scope) -> Vec<Kept> {
        self.list(scope, Which::default(), ALL_ROWS).await.unwrap()
    }

    async fn raws(&self, scope: Scope) -> Vec<String> {
        let kept = self.all(scope).await;
        kept.into_iter().map(|kept| String::from_utf8(kept.letter.raw).unwrap()).collect()
    }
}

#[tokio::test]
async fn nothing_is_kept_before_it_is_opened() {
    let letters = Letters::default();
    let refused = letters.keep(vec![letter(Scope::All, "1")]).await;
    assert!(matches!(refused, Err(LettersError::Starting)), "{refused:?}");
    letters.keep(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn what_is_kept_is_there_after_a_restart_and_whole() {
    let dir = tempfile::tempdir().unwrap();
    let letters = opened(folder(dir.path()), ROOMY);
    assert_eq!(letters.all(Scope::All).await, [], "nothing is there, and no file is made to say so");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let sent = letter(account(1), "a=1&b=ü");
    letters.keep(vec![sent.clone()]).await.unwrap();
    // The file is held by one thread at a time: it lets go when nobody can ask any more.
    drop(letters);
    let letters = reopened(dir.path()).await;
    let kept = letters.all(account(1)).await;
    assert_eq!(kept.len(), 1);
    assert_eq!((&kept[0].letter, kept[0].attempts, kept[0].first), (&sent, 1, Millis(1_000)));
}

async fn reopened(dir: &Path) -> Letters {
    loop {
        let letters = opened(folder(dir), ROOMY);
        match letters.list(Scope::All, Which::default(), ALL_ROWS).await {
            Ok(_) => return letters,
            Err(LettersError::Unusable(cause)) if cause.contains("locked") => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn accounts_see_their_own_and_those_of_all_see_everything() {
    let letters = opened(Place::Memory, ROOMY);
    let of = |scope, raw| letter(scope, raw);
    letters.keep(vec![of(account(1), "1"), of(account(2), "2"), of(Scope::All, "3")]).await.unwrap();
    assert_eq!(letters.raws(account(1)).await, ["1"]);
    assert_eq!(letters.raws(Scope::All).await, ["1", "2", "3"]);
    let theirs = letters.all(account(2)).await[0].id;
    let only = Which { ids: vec![theirs], ..Which::default() };
    assert_eq!(letters.discard(account(1), only.clone(), 10).await.unwrap(), 0, "another's letter cannot be dropped");
    assert_eq!(letters.list(account(1), only.clone(), ALL_ROWS).await.unwrap(), []);
    assert_eq!(letters.discard(account(2), only, 10).await.unwrap(), 1);
    assert_eq!(letters.totals(account(1)).await.unwrap().letters, 1);
    assert_eq!(letters.totals(Scope::All).await.unwrap().letters, 2);
}

#[tokio::test]
async fn the_same_text_again_is_one_letter_refused_twice() {
    let letters = opened(Place::Memory, ROOMY);
    letters.keep(vec![letter(account(1), "1"), letter(account(2), "1")]).await.unwrap();
    let mut again = letter(account(1), "1");
    again.reason.number = 5;
    again.at = Millis(2_000);
    letters.keep(vec![again.clone()]).await.unwrap();
    let kept = letters.all(account(1)).await;
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].attempts, kept[0].first, &kept[0].letter), (2, Millis(1_000), &again));
    assert_eq!(letters.totals(Scope::All).await.unwrap().letters, 2);
}

#[tokio::test]
async fn at_the_bound_all_stay_and_one_past_it_the_oldest_goes() {
    let letters = opened(Place::Memory, Bounds { letters: 3, letters_per_account: 2, ..ROOMY });
    letters.keep(vec![letter(account(1), "1"), letter(account(1), "2"), letter(account(2), "3")]).await.unwrap();
    assert_eq!(letters.totals(Scope::All).await.unwrap().pushed_out, 0);
    letters.keep(vec![letter(account(1), "4")]).await.unwrap();
    assert_eq!(letters.raws(Scope::All).await, ["2", "3", "4"], "an account's share takes from that account alone");
    assert_eq!(letters.totals(account(2)).await.unwrap().pushed_out, 0);
    letters.keep(vec![letter(account(3), "5")]).await.unwrap();
    assert_eq!(letters.raws(Scope::All).await, ["3", "4", "5"], "of all the oldest goes");
    assert_eq!(letters.totals(Scope::All).await.unwrap().pushed_out, 2);
    letters.keep((6..16).map(|n| letter(account(4), &n.to_string())).collect()).await.unwrap();
    assert_eq!(letters.raws(Scope::All).await, ["5", "14", "15"]);
}

#[tokio::test]
async fn bytes_are_bounded_and_the_newest_stays_whatever_its_size() {
    let one = 1_000 + limits::DEAD_LETTER_OVERHEAD_BYTES;
    let bounds = Bounds { bytes: 3 * one, bytes_per_account: 2 * one, ..ROOMY };
    let letters = opened(Place::Memory, bounds);
    let long = |scope, digit: &str| letter(scope, &digit.repeat(1_000));
    let firsts = async || letters.raws(Scope::All).await.iter().map(|raw| raw[..1].to_owned()).collect::<Vec<_>>();
    letters.keep(vec![long(account(1), "1"), long(account(1), "2"), long(account(2), "3")]).await.unwrap();
    assert_eq!(firsts().await, ["1", "2", "3"], "exactly full");
    letters.keep(vec![long(account(1), "4")]).await.unwrap();
    assert_eq!(firsts().await, ["2", "3", "4"]);
    letters.keep(vec![letter(account(2), &"5".repeat(10_000))]).await.unwrap();
    assert_eq!(firsts().await, ["5"], "larger than all bounds, and not lost");
    let totals = letters.totals(Scope::All).await.unwrap();
    assert_eq!(totals.bytes, 10_000 + limits::DEAD_LETTER_OVERHEAD_BYTES as u64);
}

#[tokio::test]
async fn lists_are_cut_by_rows_and_by_bytes_and_go_on_after_an_id() {
    let letters = opened(Place::Memory, ROOMY);
    let mut sent: Vec<Letter> = (0..5).map(|n| letter(account(1), &n.to_string().repeat(100))).collect();
    sent[3].workspace_sid = "WSBB".to_owned();
    sent[4].reason.number = 1;
    letters.keep(sent).await.unwrap();
    let list = async |which, reach| letters.list(account(1), which, reach).await.unwrap();
    let first = list(Which::default(), Reach { after: 0, rows: 2, raw_bytes: None }).await;
    assert!(first.len() == 2 && first[0].letter.raw.is_empty());
    let bytes = 2 * (100 + limits::DEAD_LETTER_OVERHEAD_BYTES);
    let next = list(Which::default(), Reach { after: first[1].id, rows: 9, raw_bytes: Some(bytes) }).await;
    assert_eq!(next.len(), 2);
    let tiny = list(Which::default(), Reach { after: 0, rows: 9, raw_bytes: Some(1) }).await;
    assert_eq!(tiny.len(), 1, "one always");
    let of_workspace = Which { workspace_sid: Some("WSbb".to_owned()), ..Which::default() };
    assert_eq!(list(of_workspace, ALL_ROWS).await.len(), 1, "digits of either case are the same sid");
    assert_eq!(list(Which { reason: Some(1), ..Which::default() }, ALL_ROWS).await.len(), 1);
}

#[tokio::test]
async fn settled_letters_go_and_refused_ones_have_their_fresh_reason() {
    let letters = opened(Place::Memory, ROOMY);
    letters.keep(vec![letter(account(1), "1"), letter(account(1), "2")]).await.unwrap();
    let ids: Vec<i64> = letters.all(Scope::All).await.iter().map(|kept| kept.id).collect();
    let reason = Reason { number: 4, field: "timestamp".to_owned(), message: "is too old".to_owned() };
    let again = Again { id: ids[1], reason: reason.clone(), at: Millis(9_000) };
    letters.settle(vec![ids[0]], vec![again]).await.unwrap();
    let kept = letters.all(Scope::All).await;
    assert_eq!(kept.len(), 1);
    assert_eq!((&kept[0].letter.reason, kept[0].attempts, kept[0].letter.at), (&reason, 2, Millis(9_000)));
    assert_eq!(letters.totals(account(1)).await.unwrap().letters, 1);
}

/// Every way in which the file can be bad; each is set aside, and letters are kept as if nothing had been.
#[tokio::test]
async fn a_damaged_file_is_set_aside_and_stops_nothing() {
    type Spoil = fn(&mut Vec<u8>);
    let ways: [(&str, Spoil); 5] = [
        ("rubbish", |bytes| bytes.fill(b'x')),
        ("cut", |bytes| bytes.truncate(5_000)),
        ("a page of zeroes", |bytes| bytes[4_096..8_192].fill(0)),
        ("another program's", |bytes| bytes[68..72].fill(7)),
        ("a later version's", |bytes| bytes[63] = 9),
    ];
    for (way, spoil) in ways {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("dead-letters.db");
        {
            let mut store = super::file::open(&folder(dir.path())).map_err(|trouble| trouble.to_string()).unwrap();
            store.keep(&[letter(account(1), "before")], &ROOMY).map_err(|trouble| trouble.to_string()).unwrap();
        }
        let mut bytes = fs::read(&file).unwrap();
        spoil(&mut bytes);
        fs::write(&file, bytes).unwrap();
        let letters = opened(folder(dir.path()), ROOMY);
        letters.keep(vec![letter(account(1), "after")]).await.unwrap_or_else(|error| panic!("{way}: {error}"));
        assert_eq!(letters.raws(Scope::All).await, ["after"], "{way}");
        assert!(dir.path().join("dead-letters.db.damaged-1").exists(), "{way}: what was there is not thrown away");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_written_fails_the_call_and_passes() {
    let dir = tempfile::tempdir().unwrap();
    let in_the_way = dir.path().join("dead-letters.db");
    fs::create_dir(&in_the_way).unwrap();
    let letters = opened(folder(dir.path()), ROOMY);
    let refused = letters.keep(vec![letter(account(1), "1")]).await;
    assert!(matches!(refused, Err(LettersError::Unusable(_))), "{refused:?}");
    fs::remove_dir(&in_the_way).unwrap();
    letters.keep(vec![letter(account(1), "1")]).await.unwrap();
    assert_eq!(letters.raws(Scope::All).await, ["1"]);
}

#[test]
fn a_full_disk_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = super::file::open(&folder(dir.path())).map_err(|trouble| trouble.to_string()).unwrap();
    store.keep(&[letter(account(1), "1")], &ROOMY).map_err(|trouble| trouble.to_string()).unwrap();
    store.limit_pages();
    let refused = store.keep(&[letter(account(1), "2"), letter(account(1), &"3".repeat(100_000))], &ROOMY);
    assert!(matches!(refused, Err(super::file::Trouble::Full(_))));
    let totals = store.totals(Scope::All).map_err(|trouble| trouble.to_string()).unwrap();
    assert_eq!(totals.letters, 1, "none of the refused call is there");
}
