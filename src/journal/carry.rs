//! The carry-over: what must outlive dropped rows, under the caller's keys. Each entry has a checksum over key and
//! body; the tail keeps their number and all checksums combined, so that none can vanish unseen.

use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension, Row as SqlRow};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    AppendError, Damage, Journal, MAX_BODY_BYTES, ReadError,
    error::{Key, Trouble},
    tile::{self, Tail},
};

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carry<'a> {
    pub key: &'a [u8],
    /// At most [`MAX_BODY_BYTES`].
    pub body: &'a [u8],
}

impl Journal {
    /// Puts one entry, in the place of an earlier one with this key. Synced on return.
    pub fn put_carry(&mut self, key: &[u8], body: &[u8]) -> Result<(), AppendError> {
        self.put_carries(&[Carry { key, body }])
    }

    /// Puts several entries in one transaction: all of them or, on an error, none.
    pub fn put_carries(&mut self, entries: &[Carry<'_>]) -> Result<(), AppendError> {
        if entries.is_empty() {
            return Ok(());
        }
        let bytes = entries.iter().map(|entry| entry.body.len() as u64).sum();
        self.make_room(bytes)?;
        self.transact("write the carry-over", bytes, |db, tail, _| {
            for Carry { key, body } in entries {
                assert!(body.len() <= MAX_BODY_BYTES, "a carry-over of {}, at most {MAX_BODY_BYTES}", body.len());
                put(db, tail, key, body)?;
            }
            Ok(())
        })
    }

    /// Removes an entry; answers whether it was there. Synced on return.
    pub fn remove_carry(&mut self, key: &[u8]) -> Result<bool, AppendError> {
        self.transact("remove a carry-over", 0, |db, tail, _| forget(db, tail, key))
    }

    /// Hands out every entry whose key begins so, in the order of their keys. Whether one is missing is not known.
    pub fn carries_under(&mut self, prefix: &[u8], each: &mut dyn FnMut(Carry<'_>)) -> Result<(), ReadError> {
        self.read_carries_under(prefix, each).map_err(|trouble| trouble.on_read(self.file.clone()))
    }

    fn read_carries_under(&self, prefix: &[u8], each: &mut dyn FnMut(Carry<'_>)) -> Result<(), Trouble> {
        let mut found = self.db.prepare_cached("SELECT key, sum, body FROM carry WHERE key >= ?1 ORDER BY key")?;
        let mut rows = found.query([prefix])?;
        while let Some(row) = rows.next()? {
            let entry = checked(row)?;
            if !entry.0.key.starts_with(prefix) {
                break;
            }
            each(entry.0);
        }
        Ok(())
    }

    /// Hands out every entry, in no order that means anything, until `each` breaks off. That none
    /// is missing is known only when it did not.
    pub fn carries(&mut self, each: &mut dyn FnMut(Carry<'_>) -> ControlFlow<()>) -> Result<(), ReadError> {
        self.read_carries(each).map_err(|trouble| trouble.on_read(self.file.clone()))
    }

    fn read_carries(&self, each: &mut dyn FnMut(Carry<'_>) -> ControlFlow<()>) -> Result<(), Trouble> {
        let mut found = self.db.prepare_cached("SELECT key, sum, body FROM carry ORDER BY id")?;
        let mut rows = found.query([])?;
        let (mut count, mut digest) = (0, 0);
        while let Some(row) = rows.next()? {
            let (entry, sum) = checked(row)?;
            count += 1;
            digest ^= sum;
            if each(entry).is_break() {
                return Ok(());
            }
        }
        if (count, digest) != (self.tail.carries, self.tail.carry_digest) {
            return Err(Damage::CarrySet { expected: self.tail.carries, found: count }.into());
        }
        Ok(())
    }
}

/// In the place of an earlier one with this key.
pub(super) fn put(db: &Connection, tail: &mut Tail, key: &[u8], body: &[u8]) -> Result<(), Trouble> {
    forget(db, tail, key)?;
    let sum = sum_of(key, body);
    let sql = "INSERT INTO carry (key, sum, body) VALUES (?1, ?2, ?3)";
    db.prepare_cached(sql)?.execute((key, sum.cast_signed(), body))?;
    tail.carries += 1;
    tail.carry_digest ^= sum;
    Ok(())
}

/// An entry of the columns key, sum and body, with its checksum, which holds.
pub(super) fn checked<'a>(row: &'a SqlRow<'_>) -> Result<(Carry<'a>, u64), Trouble> {
    let sum = row.get::<_, i64>(1)?.cast_unsigned();
    let (key, body) = (row.get_ref(0)?.as_blob(), row.get_ref(2)?.as_blob());
    let (Ok(key), Ok(body)) = (key, body) else {
        return Err(Damage::Single { what: "carry-over" }.into());
    };
    if sum != sum_of(key, body) {
        return Err(Damage::Carry { key: Key(key.to_vec()) }.into());
    }
    Ok((Carry { key, body }, sum))
}

fn sum_of(key: &[u8], body: &[u8]) -> u64 {
    tile::sum(b"carry", &[key.len() as u64, xxh3_64(key), xxh3_64(body)])
}

/// Removes every entry whose key begins with `prefix`.
pub(super) fn forget_under(db: &Connection, tail: &mut Tail, prefix: &[u8]) -> Result<(), Trouble> {
    // The keys are unique, so this reads their index; a prefix of nothing but ones ends where the keys do.
    let keys: Vec<Vec<u8>> = {
        let mut found = db.prepare_cached("SELECT key FROM carry WHERE key >= ?1 ORDER BY key")?;
        let mut rows = found.query([prefix])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            let key: Vec<u8> = row.get(0)?;
            if !key.starts_with(prefix) {
                break;
            }
            keys.push(key);
        }
        keys
    };
    for key in keys {
        forget(db, tail, &key)?;
    }
    Ok(())
}

fn forget(db: &Connection, tail: &mut Tail, key: &[u8]) -> Result<bool, Trouble> {
    let old: Option<i64> = db
        .prepare_cached("DELETE FROM carry WHERE key = ?1 RETURNING sum")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    if let Some(sum) = old {
        tail.carries = tail.carries.checked_sub(1).ok_or(Damage::CarrySet { expected: tail.carries, found: 1 })?;
        tail.carry_digest ^= sum.cast_unsigned();
    }
    Ok(old.is_some())
}
