use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn sound(parted: &Parted<u64, u64>) {
    let (last, full) = parted.blocks.split_last().map_or((1, &[][..]), |(last, full)| (last.len(), full));
    assert!((1..=BLOCK).contains(&last) && full.iter().all(|block| block.len() == BLOCK));
    let Some(index) = &parted.index else { return assert!(parted.len() <= SCANNED) };
    assert_eq!(index.parts.iter().map(|part| part.len()).sum::<usize>(), parted.len());
    for (at, part) in index.parts.iter().enumerate() {
        assert!(part.is_sorted_by_key(|mark| mark.hash));
        for mark in part.iter() {
            assert_eq!(address(mark.hash, index.parts.len()), at);
            assert_eq!(index.hash(&parted.entry(mark.number as usize).0), mark.hash);
        }
    }
}

fn parts(parted: &Parted<u64, u64>) -> &[Arc<Vec<Mark>>] {
    parted.index.as_ref().map_or(&[], |index| &index.parts)
}

fn addresses<T>(held: &[Arc<T>]) -> Vec<usize> {
    held.iter().map(|one| Arc::as_ptr(one) as usize).collect()
}

fn differ(one: &[usize], other: &[usize]) -> usize {
    one.iter().zip(other).filter(|(one, other)| one != other).count()
}

#[test]
fn no_insertion_moves_more_than_a_part() {
    let mut parted = Parted::default();
    for key in 0..20_000_u64 {
        let before = (addresses(&parted.blocks), addresses(parts(&parted)));
        parted.insert(key, key);
        assert_eq!(differ(&before.0, &addresses(&parted.blocks)), 0);
        assert!(differ(&before.1, &addresses(parts(&parted))) <= 1);
    }
    sound(&parted);
    assert_eq!(parts(&parted).len(), 20_000_usize.div_ceil(PART_MEAN));
    let largest = parts(&parted).iter().map(|part| part.len()).max();
    assert!(largest < Some(4 * PART_MEAN), "{largest:?}");
}

#[test]
fn a_copy_shares_all_but_what_changes() {
    let mut parted: Parted<u64, u64> = Parted::default();
    for key in 0..20_000 {
        parted.insert(key, key);
    }
    let copy = parted.clone();
    assert_eq!(parted.remove(&99_999), None);
    *parted.get_mut(&7).unwrap() = 8;
    assert_eq!(differ(&addresses(&parted.blocks), &addresses(&copy.blocks)), 1);
    assert_eq!(differ(&addresses(parts(&parted)), &addresses(parts(&copy))), 0);
    assert_eq!((copy.get(&7), parted.get(&7)), (Some(&7), Some(&8)));
}

#[test]
fn a_small_one_takes_what_its_entries_take() {
    let mut parted: Parted<u64, u64> = (0..5).map(|key| (key, key)).collect();
    assert_eq!((parted.blocks.capacity(), parted.blocks[0].capacity(), parted.index.is_none()), (1, 5, true));
    for key in 0..5 {
        parted.remove(&key);
    }
    assert_eq!((parted.blocks.capacity(), parted.len()), (0, 0));
}

proptest! {
    #[test]
    fn it_is_a_map(steps in proptest::collection::vec((0..4_u8, 0..4_000_u64, 0..100_u64), 0..6_000), few: bool) {
        let (mut parted, mut model) = (Parted::default(), BTreeMap::new());
        for (step, key, value) in steps {
            let key = if few { key % 40 } else { key };
            match step {
                0 => prop_assert_eq!(parted.remove(&key), model.remove(&key)),
                1 => prop_assert_eq!(parted.get_or_default(key), model.entry(key).or_default()),
                _ => prop_assert_eq!(parted.insert(key, value), model.insert(key, value)),
            }
        }
        sound(&parted);
        parted.retain(|value| *value != 5);
        model.retain(|_, value| *value != 5);
        sound(&parted);
        let back: Parted<u64, u64> = postcard::from_bytes(&postcard::to_stdvec(&parted).unwrap()).unwrap();
        for table in [parted, back] {
            prop_assert!((0..4_000).all(|key| table.get(&key) == model.get(&key)));
            prop_assert_eq!(table.len(), model.len());
            prop_assert_eq!(table.into_iter().collect::<BTreeMap<_, _>>(), model.clone());
        }
    }

    /// Marks tell entries of one hash apart by the entries.
    #[test]
    fn equal_hashes_are_no_harm(steps in proptest::collection::vec((0..3_u8, 0..60_u8), 0..600)) {
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
        struct Alike(u8);
        impl Hash for Alike {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                (self.0 % 3).hash(state);
            }
        }
        let (mut parted, mut model) = (Parted::default(), BTreeMap::new());
        for (at, (step, key)) in steps.into_iter().enumerate() {
            match step {
                0 => prop_assert_eq!(parted.remove(&Alike(key)), model.remove(&Alike(key))),
                _ => prop_assert_eq!(parted.insert(Alike(key), at), model.insert(Alike(key), at)),
            }
        }
        prop_assert_eq!(parted.into_iter().collect::<BTreeMap<_, _>>(), model);
    }
}
