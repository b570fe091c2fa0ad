"""SQLite: one clustered table, one covering index of what is counted, tables of state; WAL, synced at each commit."""

import sqlite3
import time

from dataset import COUNTED_LIST, STATUSES
from questions import JUST_ENDED_MS, RETENTION_MS

PRAGMAS = """
PRAGMA page_size = 8192;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = 8000;
PRAGMA cache_size = -2000000;
PRAGMA mmap_size = 17179869184;
PRAGMA temp_store = MEMORY;
"""

SCHEMA = f"""
CREATE TABLE event (
  workspace INTEGER NOT NULL, second INTEGER NOT NULL, sid BLOB NOT NULL, ts INTEGER NOT NULL, type INTEGER NOT NULL,
  wait INTEGER, task BLOB, created INTEGER, status INTEGER, priority INTEGER, channel TEXT, version INTEGER,
  worker BLOB, activity BLOB, worker_version INTEGER,
  PRIMARY KEY (workspace, second, sid)) WITHOUT ROWID;
CREATE INDEX counted ON event (workspace, type, second, wait) WHERE type IN ({COUNTED_LIST});
CREATE TABLE task (
  task BLOB PRIMARY KEY, key TEXT, status INTEGER, priority INTEGER, created INTEGER, ts INTEGER,
  end_key TEXT, end_ts INTEGER, end_status INTEGER, deleted INTEGER) WITHOUT ROWID;
CREATE INDEX active ON task (status, priority, created, task, ts) WHERE end_ts = 0;
CREATE INDEX ended ON task (end_ts) WHERE end_ts > 0;
CREATE TABLE worker (worker BLOB PRIMARY KEY, key TEXT, activity TEXT, deleted INTEGER) WITHOUT ROWID;
CREATE TABLE activity (activity TEXT PRIMARY KEY, key TEXT, name TEXT, deleted INTEGER) WITHOUT ROWID;
CREATE INDEX at_work ON worker (activity) WHERE deleted = 0;
"""

EVENT = "INSERT OR IGNORE INTO event VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
TASK = """INSERT INTO task VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
  key = max(key, excluded.key), ts = max(ts, excluded.ts), deleted = max(deleted, excluded.deleted),
  status = iif(excluded.key > key, excluded.status, status), priority = iif(excluded.key > key, excluded.priority, priority),
  created = iif(excluded.key > key, excluded.created, created), end_key = min(end_key, excluded.end_key),
  end_ts = iif(excluded.end_key < end_key, excluded.end_ts, end_ts),
  end_status = iif(excluded.end_key < end_key, excluded.end_status, end_status)"""
WORKER = """INSERT INTO worker VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET key = max(key, excluded.key),
  activity = iif(excluded.key > key, excluded.activity, activity), deleted = max(deleted, excluded.deleted)"""
ACTIVITY = """INSERT INTO activity VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET key = max(key, excluded.key),
  name = iif(excluded.key > key, excluded.name, name), deleted = max(deleted, excluded.deleted)"""

# What a batch needs, by statement; blobs are made here so that no time of the load goes into it.
READY = {
    EVENT: """SELECT second, unhex(sid), ts, type, wait, unhex(task), created, status, priority, channel, version,
      unhex(worker), unhex(activity), worker_version FROM event WHERE batch = ?""",
    TASK: """SELECT unhex(task), key, status, priority, created, ts, end_key, end_ts, end_status, deleted FROM task
      WHERE batch = ?""",
    WORKER: "SELECT unhex(worker), key, activity, deleted FROM worker WHERE batch = ?",
    ACTIVITY: "SELECT activity, key, name, deleted FROM activity WHERE batch = ?",
}

WAITING = f"({STATUSES['PENDING']}, {STATUSES['RESERVED']})"
REALTIME = f"""
SELECT 1, status, '', priority, count(*) FROM task WHERE end_ts = 0 AND ts >= ?1 GROUP BY status, priority
UNION ALL
SELECT 2, sid, '', created, 0 FROM (SELECT lower(hex(task)) AS sid, created FROM task
  WHERE end_ts = 0 AND status IN {WAITING} AND ts >= ?1 ORDER BY created, task LIMIT 1)
UNION ALL
SELECT 3, '', '', end_status, count(*) FROM task WHERE end_ts > ?2 AND end_ts > 0 AND deleted = 0 GROUP BY end_status
UNION ALL
SELECT 4, activity, name, (SELECT count(*) FROM worker w WHERE w.activity = a.activity AND deleted = 0), deleted FROM activity a
UNION ALL
SELECT 5, '', '', count(*), 0 FROM worker WHERE deleted = 0
"""


class Peer:
    name = "SQLite"
    settings = (
        "one process; WAL, `synchronous = FULL`, page cache of 2 GB and mmap; clustered by (workspace, second, sid), a "
        "partial covering index (type, second, wait), tables of state kept by the load; `INSERT OR IGNORE`; `ANALYZE`"
    )

    def __init__(self, folder):
        folder.mkdir()
        self.folder = folder
        self.base = sqlite3.connect(folder / "events.db", isolation_level=None, cached_statements=100)
        self.base.executescript(PRAGMAS + SCHEMA)

    def version(self):
        return f"SQLite {sqlite3.sqlite_version}"

    def cpu_s(self):
        return time.process_time()

    def prepare(self, data, first, last):
        return [{into: data.execute(rows, [n]).fetchall() for into, rows in READY.items()} for n in range(first, last)]

    def load(self, batch):
        self.base.execute("BEGIN IMMEDIATE")
        for into, rows in batch.items():
            self.base.executemany(into, rows)
        self.base.execute("COMMIT")

    def discard(self):
        pass

    def finish(self):
        self.base.executescript("PRAGMA wal_checkpoint(TRUNCATE); ANALYZE;")

    def settle(self):
        self.base.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def count(self):
        return self.base.execute("SELECT count(*) FROM event").fetchone()[0]

    def bytes(self):
        return sum(path.stat().st_size for path in self.folder.iterdir() if not path.name.endswith("-shm"))

    def cumulative(self, thresholds):
        below = "".join(f", count(*) FILTER (WHERE wait < {threshold * 1000})" for threshold in thresholds)
        statement = f"""SELECT type, count(*), sum(wait), min(wait), max(wait){below} FROM event
          WHERE workspace = 1 AND type IN ({COUNTED_LIST}) AND second >= ? AND second < ? GROUP BY type"""
        return lambda start, end: self.base.execute(statement, (start, end)).fetchall()

    def realtime(self, now_ms):
        return self.base.execute(REALTIME, (now_ms - RETENTION_MS, now_ms - JUST_ENDED_MS)).fetchall()

    def close(self):
        self.base.close()
