use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::*;

fn store(dir: &std::path::Path) -> JournalStore {
    let (journal, _) = Journal::open(dir, "a test").unwrap();
    JournalStore::new(journal, HOUR_MS)
}

fn chore(carries: &[(&str, usize)]) -> Chore {
    chore_as_of(1, carries)
}

fn chore_as_of(as_of: u64, carries: &[(&str, usize)]) -> Chore {
    let part =
        |(key, bytes): &(&str, usize)| CarriedPart { key: key.as_bytes().to_vec(), body: vec![0; *bytes], as_of };
    Chore {
        carries: carries.iter().map(part).collect(),
        seal: None,
        expired: Vec::new(),
        older_than_ms: 0,
        upto: as_of,
    }
}

/// The lengths of the carry-overs on disk.
fn carried(store: &mut JournalStore) -> BTreeMap<String, usize> {
    let mut carried = BTreeMap::new();
    let each = &mut |carry: Carry<'_>| {
        carried.insert(String::from_utf8(carry.key.to_vec()).unwrap(), carry.body.len());
        ControlFlow::Continue(())
    };
    store.journal.carries(each).unwrap();
    carried
}

fn finish(store: &mut JournalStore) {
    while store.chore.is_some() {
        store.do_slice(Millis(0), Duration::ZERO).unwrap();
    }
}

#[test]
fn a_newer_chore_takes_on_what_is_left_of_an_older_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = store(dir.path());
    store.take_chore(chore(&[("a", 1), ("b", CARRY_SLICE), ("c", 2)]));
    store.do_slice(Millis(0), Duration::ZERO).unwrap();
    store.take_chore(chore(&[("c", 3), ("d", 4)]));
    finish(&mut store);
    let expected = [("a", 1), ("b", CARRY_SLICE), ("c", 3), ("d", 4)];
    assert_eq!(carried(&mut store), BTreeMap::from(expected.map(|(key, bytes)| (key.to_string(), bytes))));
}

#[test]
fn what_was_looked_at_before_a_workspace_was_forgotten_is_not_carried_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = store(dir.path());
    let row = |ends| Row { events: 1, newest_ms: 1, body: b"row", ends };
    assert_eq!(store.append(&[row(None)]).unwrap(), 1);
    store.take_chore(chore_as_of(1, &[("ab/1", CARRY_SLICE), ("ab/2", 1), ("abc/1", CARRY_SLICE), ("b/1", 1)]));
    store.do_slice(Millis(0), Duration::ZERO).unwrap();
    // Written, and waiting; and one that is on its way.
    let keys = |store: &mut JournalStore| carried(store).into_keys().collect::<Vec<_>>();
    assert_eq!(keys(&mut store), ["ab/1"]);
    assert_eq!(store.append(&[row(None), row(Some(b"ab/"))]).unwrap(), 3);
    store.take_chore(chore_as_of(2, &[("ab/1", 2), ("ab/3", 2), ("b/2", 2)]));
    finish(&mut store);
    assert_eq!(keys(&mut store), ["abc/1", "b/1", "b/2"]);
    // Of its new life.
    store.take_chore(chore_as_of(3, &[("ab/1", 3)]));
    finish(&mut store);
    assert_eq!(keys(&mut store), ["ab/1", "abc/1", "b/1", "b/2"]);
    assert!(store.forgotten.is_empty(), "nothing older can come");
}

#[test]
fn carry_overs_are_written_in_the_order_given_also_where_chores_are_joined() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = store(dir.path());
    let full = CARRY_SLICE;
    // Each of a slice of its own. "2" must not come before "1", and "3" not before "2".
    store.take_chore(chore(&[("1", full), ("2", full)]));
    store.take_chore(chore(&[("1", full), ("3", full)]));
    for written in 1..=3 {
        store.do_slice(Millis(0), Duration::ZERO).unwrap();
        let keys: Vec<String> = carried(&mut store).into_keys().collect();
        assert_eq!(keys, ["1", "2", "3"][..written]);
    }
}

/// Damages the pages that such a body overflows into: they cannot be followed, so what lies in them cannot be removed.
fn damage_bodies_of(dir: &std::path::Path, byte: u8) {
    let file = dir.join("journal.db");
    let mut content = std::fs::read(&file).unwrap();
    let mut damaged = 0;
    for page in content.chunks_mut(4096).filter(|page| page[4..].iter().all(|found| *found == byte)) {
        page[..4].fill(0xff);
        damaged += 1;
    }
    assert!(damaged > 0);
    std::fs::write(file, content).unwrap();
}

/// A journal of one old row, of a length that is not packed, and of carry-overs of which each is written.
fn damaged(dir: &std::path::Path, row: u8, carries: &[(&str, u8)], damaged: u8) -> JournalStore {
    let (mut journal, _) = Journal::open(dir, "a test").unwrap();
    journal.append(&[Row { events: 1, newest_ms: 1, body: &[row; 12_000], ends: None }]).unwrap();
    for (key, byte) in carries {
        journal.put_carry(key.as_bytes(), &[*byte; 20_000]).unwrap();
    }
    journal.close().unwrap();
    damage_bodies_of(dir, damaged);
    store(dir)
}

/// What is left of the chore after it met damage, once all has been done that can be: carry-overs, the seal, what has
/// expired.
fn put_off(store: &mut JournalStore) -> (usize, bool, usize) {
    for uptime in [Duration::from_secs(1), TRY_AGAIN_AFTER] {
        for _ in 0..5 {
            store.do_slice(Millis(0), uptime).expect("damage of old rows is no reason to end");
        }
        assert_eq!(store.put_off_to, Duration::from_secs(1) + TRY_AGAIN_AFTER, "it is not tried before its time");
    }
    assert_eq!(store.journal.stats().rows, 1, "the row stays");
    let chore = store.chore.as_ref().expect("it is put off, not given up");
    (chore.carries.len(), chore.seal.is_some(), chore.expired.len())
}

fn all_of(upto: u64) -> Chore {
    let part = CarriedPart { key: b"a".to_vec(), body: vec![1], as_of: upto };
    let seal = Some((b"seal".to_vec(), vec![2]));
    Chore { carries: [part].into(), seal, expired: vec![b"z".to_vec()], older_than_ms: 10, upto }
}

#[test]
fn a_chore_that_meets_damage_is_put_off_with_all_that_is_not_written_yet() {
    // What is damaged, and what is left to do.
    let cases = [(7, (0, false, 0)), (8, (1, true, 1)), (9, (0, true, 1)), (10, (0, false, 1))];
    for (byte, left) in cases {
        let dir = tempfile::tempdir().unwrap();
        let mut store = damaged(dir.path(), 7, &[("a", 8), ("seal", 9), ("z", 10)], byte);
        store.take_chore(all_of(1));
        assert_eq!(put_off(&mut store), left, "damage of {byte}");
        // In its time it is tried again, and done where the row alone is damaged, which is left out then.
        let again = store.put_off_to;
        store.do_slice(Millis(0), again).unwrap();
        assert_eq!(store.chore.is_none(), byte == 7, "damage of {byte}");
        assert_eq!(store.put_off_to > again, byte != 7, "damage of {byte}");
    }
}
