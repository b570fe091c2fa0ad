"""DuckDB: rows in the order of time, which its zone maps make use of; what is there already is left out by a join."""

import time

import duckdb

from dataset import COUNTED_LIST, STATUSES
from questions import JUST_ENDED_MS, RETENTION_MS

SCHEMA = """
CREATE TABLE event (
  workspace INTEGER NOT NULL, second BIGINT NOT NULL, sid UUID NOT NULL, ts BIGINT NOT NULL, type UTINYINT NOT NULL,
  wait BIGINT, task UUID, created BIGINT, status UTINYINT, priority INTEGER, channel VARCHAR, version BIGINT,
  worker UUID, activity UUID, worker_version BIGINT);
CREATE TABLE task (
  task UUID PRIMARY KEY, key VARCHAR, status UTINYINT, priority INTEGER, created BIGINT, ts BIGINT, end_key VARCHAR,
  end_ts BIGINT, end_status UTINYINT, deleted UTINYINT);
CREATE TABLE worker (worker UUID PRIMARY KEY, key VARCHAR, activity UUID, deleted UTINYINT);
CREATE TABLE activity (activity UUID PRIMARY KEY, key VARCHAR, name VARCHAR, deleted UTINYINT);
"""

# Batches in memory, as typed as the tables.
READY = {
    "event": """SELECT batch, 1 AS workspace, second, sid::UUID AS sid, ts, type, wait, task::UUID AS task, created,
      status, priority, channel, version, worker::UUID AS worker, activity::UUID AS activity, worker_version""",
    "task": "SELECT batch, task::UUID, key, status, priority, created, ts, end_key, end_ts, end_status, deleted",
    "worker": "SELECT batch, worker::UUID, key, nullif(activity, '')::UUID, deleted",
    "activity": "SELECT batch, activity::UUID, key, name, deleted",
}

# The batch's own span of seconds bounds what the join has to look at.
EVENT = """INSERT INTO event SELECT * EXCLUDE batch FROM ready.event r WHERE batch = $1 AND NOT EXISTS (
  SELECT 1 FROM event e WHERE e.second BETWEEN $2 AND $3 AND e.second = r.second AND e.sid = r.sid AND e.workspace = r.workspace)"""
TASK = """INSERT INTO task SELECT * EXCLUDE batch FROM ready.task WHERE batch = $1 ON CONFLICT DO UPDATE SET
  key = greatest(key, excluded.key), ts = greatest(ts, excluded.ts), deleted = greatest(deleted, excluded.deleted),
  status = if(excluded.key > key, excluded.status, status), priority = if(excluded.key > key, excluded.priority, priority),
  created = if(excluded.key > key, excluded.created, created), end_key = least(end_key, excluded.end_key),
  end_ts = if(excluded.end_key < end_key, excluded.end_ts, end_ts),
  end_status = if(excluded.end_key < end_key, excluded.end_status, end_status)"""
WORKER = """INSERT INTO worker SELECT * EXCLUDE batch FROM ready.worker WHERE batch = $1 ON CONFLICT DO UPDATE SET
  key = greatest(key, excluded.key), activity = if(excluded.key > key, excluded.activity, activity),
  deleted = greatest(deleted, excluded.deleted)"""
ACTIVITY = """INSERT INTO activity SELECT * EXCLUDE batch FROM ready.activity WHERE batch = $1 ON CONFLICT DO UPDATE SET
  key = greatest(key, excluded.key), name = if(excluded.key > key, excluded.name, name),
  deleted = greatest(deleted, excluded.deleted)"""

WAITING = f"({STATUSES['PENDING']}, {STATUSES['RESERVED']})"
REALTIME = f"""
WITH active AS (SELECT * FROM task WHERE end_ts = 0 AND ts >= $1)
SELECT 1, status::VARCHAR, '', priority::BIGINT, count(*) FROM active GROUP BY status, priority
UNION ALL
SELECT 2, replace(task::VARCHAR, '-', ''), '', created, 0 FROM (
  SELECT task, created FROM active WHERE status IN {WAITING} ORDER BY created, replace(task::VARCHAR, '-', '') LIMIT 1)
UNION ALL
SELECT 3, '', '', end_status, count(*) FROM task WHERE end_ts > $2 AND deleted = 0 GROUP BY end_status
UNION ALL
SELECT 4, replace(a.activity::VARCHAR, '-', ''), any_value(name), count(w.worker), any_value(a.deleted)
FROM activity a LEFT JOIN worker w ON w.activity = a.activity AND w.deleted = 0 GROUP BY a.activity
UNION ALL
SELECT 5, '', '', count(*), 0 FROM worker WHERE deleted = 0
"""


class Peer:
    name = "DuckDB"
    settings = (
        "embedded, its own defaults of threads and memory, WAL synced at each commit; no index on the events (a primary key and "
        "`INSERT OR IGNORE` took a third more CPU and twice the bytes): in the order of time, duplicates left out by an anti-join within the batch's seconds; tables of "
        "state by `ON CONFLICT DO UPDATE`; `CHECKPOINT` and `ANALYZE` at the end"
    )

    def __init__(self, folder):
        folder.mkdir()
        self.file = folder / "events.duckdb"
        self.base = duckdb.connect(str(self.file))
        self.base.execute("SET checkpoint_threshold = '256MB'")
        self.base.execute("ATTACH ':memory:' AS ready")
        self.base.execute(SCHEMA)

    def version(self):
        return f"DuckDB {duckdb.__version__}"

    def cpu_s(self):
        return time.process_time()

    def prepare(self, data, first, last):
        source = data.execute("SELECT path FROM duckdb_databases() WHERE NOT internal AND path IS NOT NULL").fetchone()[0]
        self.base.execute(f"ATTACH IF NOT EXISTS '{source}' AS source (READ_ONLY)")
        for table, rows in READY.items():
            self.base.execute(
                f"CREATE OR REPLACE TABLE ready.{table} AS {rows} FROM source.{table} WHERE batch >= {first} AND batch < {last}"
            )
        spans = "SELECT batch, min(second), max(second) FROM ready.event GROUP BY batch ORDER BY batch"
        return self.base.execute(spans).fetchall()

    def load(self, batch):
        number, least, most = batch
        self.base.execute("BEGIN")
        self.base.execute(EVENT, [number, least, most])
        for into in (TASK, WORKER, ACTIVITY):
            self.base.execute(into, [number])
        self.base.execute("COMMIT")

    def discard(self):
        pass

    def finish(self):
        self.base.execute("CHECKPOINT")
        self.base.execute("ANALYZE")

    def settle(self):
        self.base.execute("CHECKPOINT")

    def count(self):
        return self.base.execute("SELECT count(*) FROM event").fetchone()[0]

    def bytes(self):
        return self.file.stat().st_size

    def cumulative(self, thresholds):
        below = "".join(f", count(*) FILTER (WHERE wait < {threshold * 1000})" for threshold in thresholds)
        statement = f"""SELECT type, count(*), sum(wait), min(wait), max(wait){below} FROM event
          WHERE workspace = 1 AND second >= ? AND second < ? AND type IN ({COUNTED_LIST}) GROUP BY type"""
        return self.prepared(statement)

    def prepared(self, statement):
        """A statement that is parsed and bound once."""
        name = f"q{abs(hash(statement))}"
        self.base.execute(f"PREPARE {name} AS {statement}")
        return lambda *values: self.base.execute(f"EXECUTE {name}({', '.join(map(str, values))})").fetchall()

    def realtime(self, now_ms):
        if not hasattr(self, "prepared_realtime"):
            self.prepared_realtime = self.prepared(REALTIME)
        return self.prepared_realtime(now_ms - RETENTION_MS, now_ms - JUST_ENDED_MS)

    def close(self):
        self.base.close()
