//! The tables, and what is done with them. Each call is one transaction.
//!
//! Raw texts have a table of their own: looking through letters does not read them. `owners` has the sums of each
//! account, so that no bound has to be counted.

use std::collections::BTreeSet;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, params_from_iter};
use xxhash_rust::xxh3::xxh3_128;

use super::file::Trouble;
use super::{Again, Bounds, Form, Kept, Letter, Reach, Reason, Totals, Which};
use crate::event::{AccountSid, Millis};
use crate::limits;
use crate::pipeline::Scope;

/// Ids begin at the time at which the file was made, so that those of a file that was set aside mean nothing in the next.
pub(super) const SCHEMA: &str = "\
CREATE TABLE letters (id INTEGER PRIMARY KEY AUTOINCREMENT, owner BLOB NOT NULL, digest BLOB NOT NULL, \
  form INTEGER NOT NULL, event_sid TEXT NOT NULL, event_type TEXT NOT NULL, workspace_sid TEXT NOT NULL, \
  reason INTEGER NOT NULL, field TEXT NOT NULL, message TEXT NOT NULL, first_ms INTEGER NOT NULL, \
  last_ms INTEGER NOT NULL, attempts INTEGER NOT NULL, bytes INTEGER NOT NULL, UNIQUE (owner, digest));
CREATE INDEX letters_of_owner ON letters (owner, id);
CREATE TABLE raws (id INTEGER PRIMARY KEY, raw BLOB NOT NULL);
CREATE TABLE owners (owner BLOB PRIMARY KEY, letters INTEGER NOT NULL, bytes INTEGER NOT NULL, \
  pushed_out INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO sqlite_sequence (name, seq) VALUES ('letters', CAST(unixepoch('subsec') * 1000 AS INTEGER));";

pub(super) struct Store {
    db: Connection,
}

/// The account's 16 bytes, or none for a credential of all accounts.
fn owner(scope: Scope) -> Vec<u8> {
    match scope {
        Scope::All => Vec::new(),
        Scope::Account(account) => account.as_bytes().to_vec(),
    }
}

/// What a letter counts for.
fn size(letter: &Letter) -> usize {
    letter.raw.len() + limits::DEAD_LETTER_OVERHEAD_BYTES
}

impl Store {
    pub(super) fn new(db: Connection) -> Store {
        Store { db }
    }

    /// From here on the file is as large as it may become: as a full disk is to SQLite.
    #[cfg(test)]
    pub(super) fn limit_pages(&self) {
        let pages: i64 = self.db.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap_or(1);
        let limited = self.db.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
        assert_eq!(limited, Ok(()));
    }

    /// Keeps the letters, and answers how many others had to go for them.
    pub(super) fn keep(&mut self, letters: &[Letter], bounds: &Bounds) -> Result<u64, Trouble> {
        let transaction = self.db.transaction()?;
        let mut owners = BTreeSet::new();
        for letter in letters {
            let owner = owner(letter.scope);
            if !is_repeated(&transaction, &owner, letter)? {
                insert(&transaction, &owner, letter)?;
                owners.insert(owner);
            }
        }
        let mut pushed_out = 0;
        for owner in owners.iter().filter(|owner| !owner.is_empty()) {
            let most = (bounds.letters_per_account, bounds.bytes_per_account);
            pushed_out += make_room(&transaction, Some(owner), most)?;
        }
        pushed_out += make_room(&transaction, None, (bounds.letters, bounds.bytes))?;
        transaction.commit()?;
        Ok(pushed_out)
    }

    pub(super) fn list(&mut self, scope: Scope, which: &Which, reach: Reach) -> Result<Vec<Kept>, Trouble> {
        let Conditions { sql, values } = Conditions::of(scope, which, reach.after);
        let rows = i64::try_from(reach.rows).unwrap_or(i64::MAX);
        let sql = format!("SELECT * FROM letters WHERE {sql} ORDER BY id LIMIT {rows}");
        let mut found = self.db.prepare_cached(&sql)?;
        let mut found = found.query(params_from_iter(values))?;
        let mut kept = Vec::new();
        let mut bytes = 0;
        while let Some(row) = found.next()? {
            let mut one = read(row)?;
            if let Some(most) = reach.raw_bytes {
                bytes += usize::try_from(row.get::<_, i64>("bytes")?).unwrap_or(0);
                if bytes > most && !kept.is_empty() {
                    break;
                }
                let mut raw = self.db.prepare_cached("SELECT raw FROM raws WHERE id = ?1")?;
                one.letter.raw = raw.query_row([one.id], |row| row.get(0))?;
            }
            kept.push(one);
        }
        Ok(kept)
    }

    pub(super) fn totals(&mut self, scope: Scope) -> Result<Totals, Trouble> {
        let totals = match scope {
            Scope::All => totals_of(&self.db, None),
            Scope::Account(_) => totals_of(&self.db, Some(&owner(scope))),
        };
        Ok(totals?)
    }

    pub(super) fn settle(&mut self, settled: &[i64], again: &[Again]) -> Result<(), Trouble> {
        let transaction = self.db.transaction()?;
        for id in settled {
            remove(&transaction, *id)?;
        }
        for Again { id, reason, at } in again {
            let mut update = transaction.prepare_cached(
                "UPDATE letters SET reason = ?2, field = ?3, message = ?4, last_ms = ?5, attempts = attempts + 1 \
                 WHERE id = ?1",
            )?;
            update.execute(params![id, reason.number, reason.field, cut(&reason.message), at.0])?;
        }
        transaction.commit()?;
        Ok(())
    }

    pub(super) fn discard(&mut self, scope: Scope, which: &Which, most: usize) -> Result<usize, Trouble> {
        let Conditions { sql, values } = Conditions::of(scope, which, 0);
        let transaction = self.db.transaction()?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let sql = format!("SELECT id FROM letters WHERE {sql} ORDER BY id LIMIT {most}");
        let ids: rusqlite::Result<Vec<i64>> =
            transaction.prepare_cached(&sql)?.query_map(params_from_iter(values), |row| row.get(0))?.collect();
        let ids = ids?;
        for id in &ids {
            remove(&transaction, *id)?;
        }
        transaction.commit()?;
        Ok(ids.len())
    }
}

/// A `WHERE` and its values.
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    fn of(scope: Scope, which: &Which, after: i64) -> Conditions {
        let Which { ids, workspace_sid, reason } = which;
        let mut conditions = Conditions { sql: "id > ?".to_owned(), values: vec![after.into()] };
        if let Scope::Account(_) = scope {
            conditions.and("owner = ?", owner(scope));
        }
        if let Some(workspace) = workspace_sid {
            conditions.and("workspace_sid = ? COLLATE NOCASE", workspace.clone());
        }
        if let Some(reason) = reason {
            conditions.and("reason = ?", i64::from(*reason));
        }
        if !ids.is_empty() {
            conditions.sql += &format!(" AND id IN ({})", vec!["?"; ids.len()].join(","));
            conditions.values.extend(ids.iter().map(|id| Value::from(*id)));
        }
        conditions
    }

    fn and(&mut self, condition: &str, value: impl Into<Value>) {
        self.sql += " AND ";
        self.sql += condition;
        self.values.push(value.into());
    }
}

/// The same text of the same account, refused once more.
fn is_repeated(transaction: &Transaction<'_>, owner: &[u8], letter: &Letter) -> rusqlite::Result<bool> {
    let mut update = transaction.prepare_cached(
        "UPDATE letters SET reason = ?3, field = ?4, message = ?5, last_ms = ?6, attempts = attempts + 1 \
         WHERE owner = ?1 AND digest = ?2",
    )?;
    let Reason { number, field, message } = &letter.reason;
    let changed = update.execute(params![owner, digest(letter), number, field, cut(message), letter.at.0])?;
    Ok(changed > 0)
}

fn digest(letter: &Letter) -> [u8; 16] {
    (xxh3_128(&letter.raw) ^ form_number(letter.form) as u128).to_be_bytes()
}

fn insert(transaction: &Transaction<'_>, owner: &[u8], letter: &Letter) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO letters (owner, digest, form, event_sid, event_type, workspace_sid, reason, field, message, \
         first_ms, last_ms, attempts, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, 1, ?11)",
    )?;
    let Reason { number, field, message } = &letter.reason;
    let bytes = size(letter) as i64;
    insert.execute(params![
        owner,
        digest(letter),
        form_number(letter.form),
        cut(&letter.event_sid),
        cut(&letter.event_type),
        cut(&letter.workspace_sid),
        number,
        cut(field),
        cut(message),
        letter.at.0,
        bytes,
    ])?;
    let id = transaction.last_insert_rowid();
    transaction.prepare_cached("INSERT INTO raws VALUES (?1, ?2)")?.execute(params![id, letter.raw])?;
    let mut sum = transaction.prepare_cached(
        "INSERT INTO owners VALUES (?1, 1, ?2, 0) \
         ON CONFLICT DO UPDATE SET letters = letters + 1, bytes = bytes + ?2",
    )?;
    sum.execute(params![owner, bytes])?;
    Ok(())
}

/// Removes one, if it is there. Answers its owner and its bytes.
fn remove(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<Option<(Vec<u8>, i64)>> {
    let mut delete = transaction.prepare_cached("DELETE FROM letters WHERE id = ?1 RETURNING owner, bytes")?;
    let gone = delete.query_row([id], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?))).optional()?;
    let Some((owner, bytes)) = gone else { return Ok(None) };
    transaction.prepare_cached("DELETE FROM raws WHERE id = ?1")?.execute([id])?;
    let mut sum =
        transaction.prepare_cached("UPDATE owners SET letters = letters - 1, bytes = bytes - ?2 WHERE owner = ?1")?;
    sum.execute(params![owner, bytes])?;
    Ok(Some((owner, bytes)))
}

/// Drops the oldest, of one owner or of all, until the rest is within the bounds or is one.
fn make_room(
    transaction: &Transaction<'_>,
    owner: Option<&Vec<u8>>,
    (most, most_bytes): (usize, usize),
) -> rusqlite::Result<u64> {
    let mut dropped = 0;
    // Summed once: the sum of all is one of as many rows as there are accounts.
    let Totals { mut letters, mut bytes, .. } = totals_of(transaction, owner)?;
    loop {
        if letters <= 1 || (letters <= most as u64 && bytes <= most_bytes as u64) {
            return Ok(dropped);
        }
        let oldest: i64 = match owner {
            Some(owner) => transaction
                .prepare_cached("SELECT min(id) FROM letters WHERE owner = ?1")?
                .query_row([owner], |row| row.get(0))?,
            None => transaction.prepare_cached("SELECT min(id) FROM letters")?.query_row([], |row| row.get(0))?,
        };
        let Some((gone_from, gone_bytes)) = remove(transaction, oldest)? else { return Ok(dropped) };
        transaction
            .prepare_cached("UPDATE owners SET pushed_out = pushed_out + 1 WHERE owner = ?1")?
            .execute([gone_from])?;
        letters -= 1;
        bytes = bytes.saturating_sub(gone_bytes.cast_unsigned());
        dropped += 1;
    }
}

fn totals_of(db: &Connection, owner: Option<&Vec<u8>>) -> rusqlite::Result<Totals> {
    let sums = "SELECT coalesce(sum(letters), 0), coalesce(sum(bytes), 0), coalesce(sum(pushed_out), 0) FROM owners";
    let read = |row: &Row<'_>| {
        let sum = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
        Ok(Totals { letters: sum(0)?, bytes: sum(1)?, pushed_out: sum(2)? })
    };
    match owner {
        Some(owner) => db.prepare_cached(&format!("{sums} WHERE owner = ?1"))?.query_row([owner], read),
        None => db.prepare_cached(sums)?.query_row([], read),
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let owner: Vec<u8> = row.get("owner")?;
    let scope = match <[u8; 16]>::try_from(owner) {
        Ok(account) => Scope::Account(AccountSid::from_bytes(account)),
        Err(_) => Scope::All,
    };
    let form = if row.get::<_, i64>("form")? == form_number(Form::Stream) { Form::Stream } else { Form::Callback };
    let reason = Reason { number: row.get("reason")?, field: row.get("field")?, message: row.get("message")? };
    let letter = Letter {
        scope,
        form,
        raw: Vec::new(),
        event_sid: row.get("event_sid")?,
        event_type: row.get("event_type")?,
        workspace_sid: row.get("workspace_sid")?,
        reason,
        at: Millis(row.get("last_ms")?),
    };
    Ok(Kept { id: row.get("id")?, letter, first: Millis(row.get("first_ms")?), attempts: row.get("attempts")? })
}

fn form_number(form: Form) -> i64 {
    match form {
        Form::Callback => 1,
        Form::Stream => 2,
    }
}

/// The longest start of a text that a letter's row takes.
fn cut(text: &str) -> &str {
    let mut end = limits::DEAD_LETTER_TEXT_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
