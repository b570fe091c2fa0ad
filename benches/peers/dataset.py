"""The events as typed rows, for the peers' loads: what `tasktally export` writes, read into a DuckDB file.

Rows come in batches of 1,000 in the order of the events. What the real-time figures need of a batch (its latest fact of
each task, worker and activity) is folded here, ahead and at nobody's cost: the peers keep it in tables of state.
"""

import re
import subprocess
from pathlib import Path

import duckdb

from measure import Progress, say

ROOT = Path(__file__).resolve().parents[2]
BATCH = 1000
# Lines that are in a file at a time: JSON takes ten times as much as what it says.
CHUNK = 200_000
# Later than every fact: the end of a task that has none.
NO_END = "f" * 66

# By the order in which facts of one moment and version count: spec of TaskRouter's life of a task.
TASK_RANKS = """TASK_CREATED WORKFLOW_ENTERED TASK_QUEUE_ENTERED WORKFLOW_TARGET_MATCHED TASK_UPDATED TASK_QUEUE_TIMEOUT
TASK_QUEUE_MOVED RESERVATION_CREATED TASK_TRANSFER_INITIATED TASK_TRANSFER_ATTEMPT_FAILED RESERVATION_REJECTED
RESERVATION_TIMEOUT RESERVATION_CANCELED RESERVATION_RESCINDED RESERVATION_FAILED TASK_TRANSFER_FAILED
TASK_TRANSFER_CANCELED RESERVATION_ACCEPTED TASK_TRANSFER_COMPLETED RESERVATION_WRAPUP TASK_WRAPUP RESERVATION_COMPLETED
WORKFLOW_TIMEOUT WORKFLOW_SKIPPED TASK_COMPLETED TASK_CANCELED TASK_DELETED TASK_SYSTEM_DELETED""".split()

LINE = {
    "sid": "VARCHAR", "type": "VARCHAR", "timestamp": "TIMESTAMP",
    "task": "STRUCT(sid VARCHAR, dateCreated TIMESTAMP, assignmentStatus VARCHAR, priority INTEGER, "
            "taskChannelUniqueName VARCHAR, version BIGINT)",
    "worker": "STRUCT(sid VARCHAR, activitySid VARCHAR, activityName VARCHAR, version BIGINT)",
    "activity": "STRUCT(sid VARCHAR, friendlyName VARCHAR)",
}


def enum(name):
    """Numbers of an enum of the contract by name, without its prefix."""
    text = (ROOT / "proto/tasktally/v1/event.proto").read_text()
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() + "_"
    return {word: int(number) for word, number in re.findall(rf"^  {prefix}(\w+) = (\d+);", text, re.M)}


TYPES = enum("EventType")
STATUSES = enum("TaskAssignmentStatus")
# What a cumulative figure counts; two of them with waits.
ACCEPTED, CANCELED = TYPES["RESERVATION_ACCEPTED"], TYPES["TASK_CANCELED"]
COUNTED = [TYPES[name] for name in """TASK_CREATED TASK_CANCELED TASK_COMPLETED TASK_DELETED TASK_QUEUE_MOVED
WORKFLOW_TIMEOUT RESERVATION_CREATED RESERVATION_ACCEPTED RESERVATION_REJECTED RESERVATION_TIMEOUT RESERVATION_CANCELED
RESERVATION_RESCINDED""".split()]
COUNTED_LIST = ", ".join(str(code) for code in sorted(COUNTED))

READ = f"""
INSERT INTO event
WITH line AS (SELECT ? + row_number() OVER () - 1 AS n, * FROM read_json(?, format = 'newline_delimited', columns = {LINE}))
SELECT n, n // {BATCH} AS batch, epoch_ms(timestamp) AS ts, epoch_ms(timestamp) // 1000 AS second, sid[3:] AS sid, kind.code AS type,
  task.sid[3:] AS task, epoch_ms(task.dateCreated) AS created, status.code AS status, coalesce(task.priority, 0) AS priority,
  task.taskChannelUniqueName AS channel, coalesce(task.version, 0) AS version,
  worker.sid[3:] AS worker, worker.activitySid[3:] AS activity, worker.activityName AS activity_name,
  coalesce(worker.version, 0) AS worker_version, activity.sid[3:] AS named, activity.friendlyName AS name,
  CASE WHEN kind.code IN ({ACCEPTED}, {CANCELED}) THEN greatest(epoch_ms(timestamp) - epoch_ms(task.dateCreated), 0) END AS wait,
  kind.rank AS rank
FROM line JOIN kind ON kind.name = line.type LEFT JOIN status ON status.name = line.task.assignmentStatus ORDER BY n
"""

TABLES = """
CREATE TABLE kind (name VARCHAR, code SMALLINT, rank SMALLINT);
CREATE TABLE status (name VARCHAR, code SMALLINT);
CREATE TABLE event (n BIGINT, batch INTEGER, ts BIGINT, second BIGINT, sid VARCHAR, type SMALLINT, task VARCHAR,
  created BIGINT, status SMALLINT, priority INTEGER, channel VARCHAR, version BIGINT, worker VARCHAR, activity VARCHAR,
  activity_name VARCHAR, worker_version BIGINT, named VARCHAR, name VARCHAR, wait BIGINT, rank SMALLINT);
"""


def key(version, rank):
    """The order of facts as text that compares as they do; versions are not negative here."""
    return f"printf('%016x%016x%02x', ts, {version}, {rank}) || sid"


DELETED = f"type IN ({TYPES['TASK_DELETED']}, {TYPES['TASK_SYSTEM_DELETED']})"
ENDS = f"(status IN ({STATUSES['COMPLETED']}, {STATUSES['CANCELED']}) OR {DELETED})"
WORKER_RANK = f"CASE type WHEN {TYPES['WORKER_CREATED']} THEN 0 WHEN {TYPES['WORKER_DELETED']} THEN 2 ELSE 1 END"
ACTIVITY_RANK = f"CASE type WHEN {TYPES['ACTIVITY_CREATED']} THEN 0 WHEN {TYPES['ACTIVITY_DELETED']} THEN 2 ELSE 1 END"

FOLD = f"""
CREATE TABLE task AS
SELECT batch, task, coalesce(max(key) FILTER (status IS NOT NULL), '{'0' * 66}') AS key,
  coalesce(arg_max(status, key) FILTER (status IS NOT NULL), 0)::SMALLINT AS status,
  coalesce(arg_max(priority, key) FILTER (status IS NOT NULL), 0) AS priority,
  coalesce(arg_max(created, key) FILTER (status IS NOT NULL), 0) AS created,
  coalesce(max(ts), 0) AS ts,
  coalesce(min(key) FILTER ({ENDS}), '{NO_END}') AS end_key,
  coalesce(arg_min(ts, key) FILTER ({ENDS}), 0) AS end_ts,
  coalesce(arg_min(status, key) FILTER ({ENDS}), 0)::SMALLINT AS end_status,
  coalesce(bool_or({DELETED}), false)::SMALLINT AS deleted
FROM (SELECT *, {key('version', 'rank')} AS key FROM event WHERE task IS NOT NULL) GROUP BY batch, task ORDER BY batch, task;

CREATE TABLE worker AS
SELECT batch, worker, coalesce(max(key) FILTER (activity IS NOT NULL), '{'0' * 66}') AS key,
  coalesce(arg_max(activity, key), '') AS activity, bool_or(type = {TYPES['WORKER_DELETED']})::SMALLINT AS deleted
FROM (SELECT *, {key('worker_version', WORKER_RANK)} AS key FROM event WHERE worker IS NOT NULL)
GROUP BY batch, worker ORDER BY batch, worker;

CREATE TABLE activity AS
SELECT batch, activity, max(key) AS key, arg_max(name, key) AS name, max(deleted)::SMALLINT AS deleted FROM (
  SELECT batch, named AS activity, coalesce(name, '') AS name, (type = {TYPES['ACTIVITY_DELETED']})::SMALLINT AS deleted,
    CASE WHEN coalesce(name, '') = '' THEN '0' ELSE '2' || {key('0', ACTIVITY_RANK)} END AS key
  FROM event WHERE named IS NOT NULL
  UNION ALL
  SELECT batch, activity, coalesce(activity_name, ''), 0,
    CASE WHEN coalesce(activity_name, '') = '' THEN '0' ELSE '1' || {key('worker_version', WORKER_RANK)} END
  FROM event WHERE activity IS NOT NULL)
GROUP BY batch, activity ORDER BY batch, activity;
"""


def make(binary, data_dir, work, expected):
    """Exports a stopped server's events into WORK/events.duckdb; answers some windows worth asking for."""
    data = duckdb.connect(str(work / "events.duckdb"))
    data.execute("SET preserve_insertion_order = true")
    data.execute(TABLES)
    for name, code in TYPES.items():
        rank = TASK_RANKS.index(name) if name in TASK_RANKS else 0
        data.execute("INSERT INTO kind VALUES (?, ?, ?)", [f"EVENT_TYPE_{name}", code, rank])
    for name, code in STATUSES.items():
        data.execute("INSERT INTO status VALUES (?, ?)", [f"TASK_ASSIGNMENT_STATUS_{name}", code])
    progress = Progress("typed rows", expected)
    export = subprocess.Popen([binary, "export", data_dir], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    done, chunk = 0, work / "chunk.jsonl"
    while lines := [line for _, line in zip(range(CHUNK), export.stdout)]:
        chunk.write_bytes(b"".join(lines))
        data.execute(READ, [done, str(chunk)])
        done += len(lines)
        progress.at(done)
    chunk.unlink(missing_ok=True)
    assert export.wait() == 0, f"tasktally export ended with {export.returncode}"
    rows = data.execute("SELECT count(*) FROM event").fetchone()[0]
    assert done == rows == expected, f"{expected} events were accepted, {done} exported, {rows} read"
    say("folding each batch's latest facts")
    data.execute(FOLD)
    # Windows that begin and end with an event's own second: where a bound that is off by one shows.
    edges = f"SELECT second FROM event WHERE type IN ({COUNTED_LIST}) AND n >= ? ORDER BY n LIMIT 1"
    seconds = [data.execute(edges, [expected * tenth // 20]).fetchone()[0] for tenth in range(1, 20)]
    data.close()
    return [(start, end) for start, end in zip(seconds, seconds[5:]) if start < end]
