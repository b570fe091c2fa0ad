"""ClickHouse, embedded (chdb): MergeTree tables, each part of an insert synced."""

import time

import chdb
from chdb import session

from dataset import COUNTED_LIST, STATUSES
from questions import JUST_ENDED_MS, RETENTION_MS

SYNCED = "fsync_after_insert = 1, fsync_part_directory = 1"
SCHEMA = f"""
CREATE TABLE base.event (
  workspace UInt32, second UInt32 CODEC(Delta, ZSTD), sid FixedString(16), ts Int64 CODEC(Delta, ZSTD), type UInt8,
  wait Int64 CODEC(T64, ZSTD), task FixedString(16), created Int64 CODEC(ZSTD), status UInt8, priority Int32,
  channel LowCardinality(String), version Int64 CODEC(T64, ZSTD), worker FixedString(16), activity FixedString(16),
  worker_version Int64 CODEC(T64, ZSTD))
ENGINE = ReplacingMergeTree ORDER BY (workspace, second, sid) SETTINGS {SYNCED};
CREATE TABLE base.task (
  task FixedString(16), latest AggregateFunction(argMax, Tuple(UInt8, Int32, Int64), String),
  ts SimpleAggregateFunction(max, Int64), ended AggregateFunction(argMin, Tuple(Int64, UInt8), String),
  end_ts SimpleAggregateFunction(max, Int64), deleted SimpleAggregateFunction(max, UInt8))
ENGINE = AggregatingMergeTree ORDER BY task SETTINGS {SYNCED};
CREATE TABLE base.worker (
  worker FixedString(16), activity AggregateFunction(argMax, String, String), deleted SimpleAggregateFunction(max, UInt8))
ENGINE = AggregatingMergeTree ORDER BY worker SETTINGS {SYNCED};
CREATE TABLE base.activity (
  activity String, name AggregateFunction(argMax, String, String), deleted SimpleAggregateFunction(max, UInt8))
ENGINE = AggregatingMergeTree ORDER BY activity SETTINGS {SYNCED};
"""

# Batches in memory, as typed as the tables, from Parquet.
READY = {
    "event": """SELECT batch, 1 AS workspace, second, coalesce(sid, '') AS sid, ts, type, coalesce(wait, 0) AS wait,
      coalesce(task, repeat('0', 32)) AS task, coalesce(created, 0) AS created, coalesce(status, 0) AS status, priority,
      coalesce(channel, '') AS channel, version, coalesce(worker, repeat('0', 32)) AS worker,
      coalesce(activity, repeat('0', 32)) AS activity, worker_version""",
    "task": "SELECT *",
    "worker": "SELECT *",
    "activity": "SELECT *",
}
TYPED = {
    "event": """batch, toUInt32(workspace), toUInt32(second), toFixedString(unhex(sid), 16), ts, toUInt8(type), wait,
      toFixedString(unhex(task), 16), created, toUInt8(status), priority, toString(channel), version,
      toFixedString(unhex(worker), 16), toFixedString(unhex(activity), 16), worker_version""",
    "task": """batch, toFixedString(unhex(assumeNotNull(task)), 16) AS task, assumeNotNull(key) AS key, toUInt8(assumeNotNull(status)) AS status,
      toInt32(assumeNotNull(priority)) AS priority, assumeNotNull(created) AS created, assumeNotNull(ts) AS ts,
      assumeNotNull(end_key) AS end_key, assumeNotNull(end_ts) AS end_ts, toUInt8(assumeNotNull(end_status)) AS end_status,
      toUInt8(assumeNotNull(deleted)) AS deleted""",
    "worker": """batch, toFixedString(unhex(assumeNotNull(worker)), 16) AS worker, assumeNotNull(key) AS key,
      assumeNotNull(activity) AS activity, toUInt8(assumeNotNull(deleted)) AS deleted""",
    "activity": """batch, assumeNotNull(activity) AS activity, assumeNotNull(key) AS key, assumeNotNull(name) AS name,
      toUInt8(assumeNotNull(deleted)) AS deleted""",
}
# One part an insert: a batch is a statement for each table.
INTO = {
    "event": "INSERT INTO base.event SELECT * EXCEPT batch FROM base.ready_event WHERE batch = {n}",
    "task": """INSERT INTO base.task SELECT task, argMaxState((status, priority, created), key), max(ts),
      argMinState((end_ts, end_status), end_key), max(end_ts), max(deleted) FROM (SELECT task, key, status, priority, created, ts AS ts,
      end_key, end_ts AS end_ts, end_status, deleted AS deleted FROM base.ready_task WHERE batch = {n}) GROUP BY task""",
    "worker": """INSERT INTO base.worker SELECT worker, argMaxState(activity, key), max(deleted)
      FROM (SELECT * FROM base.ready_worker WHERE batch = {n}) GROUP BY worker""",
    "activity": """INSERT INTO base.activity SELECT activity, argMaxState(name, key), max(deleted)
      FROM (SELECT * FROM base.ready_activity WHERE batch = {n}) GROUP BY activity""",
}

WAITING = f"({STATUSES['PENDING']}, {STATUSES['RESERVED']})"
# A task that has ended says so in every merged row.
REALTIME = f"""
WITH active AS (SELECT task, finalizeAggregation(latest) AS l FROM base.task WHERE end_ts = 0 AND ts >= {{since:Int64}})
SELECT 1 AS kind, toString(l.1) AS text, '' AS name, toInt64(l.2) AS a, toInt64(count()) AS b FROM active GROUP BY l.1, l.2
UNION ALL
SELECT 2, lower(hex(task)), '', l.3, toInt64(0) FROM (SELECT * FROM active WHERE l.1 IN {WAITING} ORDER BY l.3, task LIMIT 1)
UNION ALL
SELECT 3, '', '', toInt64(finalizeAggregation(ended).2) AS s, toInt64(count()) FROM base.task
WHERE end_ts > 0 AND finalizeAggregation(ended).1 > {{after:Int64}} AND deleted = 0 GROUP BY s
UNION ALL
SELECT 4, activity, finalizeAggregation(a.name), toInt64(w.workers), toInt64(a.deleted) FROM base.activity a LEFT JOIN (
  SELECT finalizeAggregation(activity) AS activity, count() AS workers FROM base.worker WHERE deleted = 0 GROUP BY activity) w USING activity
UNION ALL
SELECT 5, '', '', toInt64(count()), toInt64(0) FROM base.worker WHERE deleted = 0
"""


class Peer:
    name = "chdb"
    settings = (
        "embedded, its own defaults of threads and memory; `ReplacingMergeTree` ordered by (workspace, second, sid), tables "
        "of state as `AggregatingMergeTree`, each insert synced (`fsync_after_insert`, `fsync_part_directory`); asked right "
        "after `OPTIMIZE FINAL`, when no duplicate is left, and so without `FINAL`, which would cost more"
    )

    def __init__(self, folder):
        folder.mkdir()
        self.folder = folder
        self.base = session.Session(str(folder / "data"))
        self.base.query("CREATE DATABASE base ENGINE = Atomic")
        self.run(SCHEMA)

    def run(self, statements):
        for statement in statements.split(";"):
            if statement.strip():
                self.base.query(statement)

    def version(self):
        return f"chdb {chdb.__version__}, ClickHouse {str(self.base.query('SELECT version()', 'TSVRaw')).strip()}"

    def cpu_s(self):
        return time.process_time()

    def prepare(self, data, first, last):
        for table, rows in READY.items():
            file = self.folder / f"{table}.parquet"
            data.execute(f"COPY ({rows} FROM {table} WHERE batch >= {first} AND batch < {last}) TO '{file}' (FORMAT parquet)")
            self.base.query(f"DROP TABLE IF EXISTS base.ready_{table} SYNC")
            self.base.query(
                f"CREATE TABLE base.ready_{table} ENGINE = Memory AS SELECT {TYPED[table]} FROM file('{file}', Parquet)"
            )
            file.unlink()
        return range(first, last)

    def load(self, batch):
        for statement in INTO.values():
            self.base.query(statement.format(n=batch))

    def discard(self):
        pass

    def finish(self):
        for table in INTO:
            self.base.query(f"OPTIMIZE TABLE base.{table} FINAL")

    def settle(self):
        self.finish()

    def number(self, statement):
        return int(str(self.base.query(statement, "TSVRaw")))

    def count(self):
        return self.number("SELECT count() FROM base.event")

    def bytes(self):
        return self.number(
            "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'base' AND NOT startsWith(table, 'ready')"
        )

    def cumulative(self, thresholds):
        below = "".join(f", countIf(wait < {threshold * 1000})" for threshold in thresholds)
        statement = f"""SELECT type, count(), sum(wait), min(wait), max(wait){below} FROM base.event WHERE workspace = 1
          AND second >= {{start:UInt32}} AND second < {{end:UInt32}} AND type IN ({COUNTED_LIST}) GROUP BY type"""
        return lambda start, end: self.rows(statement, start=start, end=end)

    def rows(self, statement, **values):
        text = str(self.base.query(statement, "TSV", params=values))
        return [tuple(self.value(word) for word in line.split("\t")) for line in text.splitlines()]

    def value(self, word):
        return int(word) if word.lstrip("-").isdigit() and len(word) < 20 else word

    def realtime(self, now_ms):
        found = self.rows(REALTIME, since=now_ms - RETENTION_MS, after=now_ms - JUST_ENDED_MS)
        return [(kind, str(text), str(name), a, b) for kind, text, name, a, b in found]

    def close(self):
        self.base.close()
