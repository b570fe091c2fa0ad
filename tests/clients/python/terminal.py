"""`tasktally watch` in a terminal emulator (pyte), with the binary given as the first argument. What stood on the
screen goes as text into the folder of the second one (default: target/terminal)."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from emulator import COLOR, Terminal
from reflected import INGEST, Client
from served import Server, equal, run, written

ROOT = Path(__file__).resolve().parents[3]
WINDOWS = {15: 60, 240: 600, 480: 1200}
NARROW, WIDE = (60, 20), (100, 32)
EIGHTHS = " ▁▂▃▄▅▆▇█"
REASONS = {"request": 3, "access": 6}
SHOTS = Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / "target/terminal")


class World:
    def __init__(self, server, backfill="9h"):
        self.server, self.client, self.tasks = server, Client(server), 0
        self.binary = server.process.args[0]
        if backfill is None:
            return
        backfill = ["simulate", "--address", server.address, "--backfill", backfill, "--rate", "0.4", "--workers", "24"]
        said = subprocess.run([self.binary, *backfill], capture_output=True, text=True, check=True)
        self.centre = re.search(r"WS[0-9a-f]{32}", said.stdout + said.stderr).group(0)

    def watch(self, *flags, workspace=None, size=WIDE, env=None):
        command = [self.binary, "watch", workspace or self.client.scenario.workspace, "--address", self.server.address, "--utc"]
        return Terminal([*command, *flags], size, env)

    def ask(self, name, workspace, **content):
        return self.client.ask(name, workspace_sid=workspace, **content)[0]

    def ingest(self, **changed):
        self.tasks += 1
        now = written(int(time.time() * 1000))
        event = {
            "sid": f"EV{0xABC000 + self.tasks:032x}",
            "timestamp": now,
            "workspace_sid": self.client.scenario.workspace,
            "account_sid": self.client.scenario.account,
        } | changed
        answer = self.client.call(INGEST, "IngestEvents", {"events": [event]})
        equal(answer["accepted"], 1)

    def create_task(self, age_s=0, **changed):
        since = written(int((time.time() - age_s) * 1000))
        task = {
            "sid": f"WT{0xABC000 + self.tasks:032x}",
            "date_created": since,
            "task_channel_unique_name": "voice",
            "assignment_status": "TASK_ASSIGNMENT_STATUS_PENDING",
        } | changed
        self.ingest(type="EVENT_TYPE_TASK_CREATED", task=task)

    def reconnect(self):
        self.client.channel.close()
        self.client = Client(self.server)


def shoot(terminal, name):
    SHOTS.mkdir(parents=True, exist_ok=True)
    (SHOTS / f"watch-{name}.txt").write_text(terminal.text() + "\n", encoding="utf-8")


def number(text, name):
    """The count to the right of a name in a tile."""
    found = re.search(rf"\b{re.escape(name)} [^\d│]*([\d,]+)", text)
    assert found, f"no {name}\n{text}"
    return int(found.group(1).replace(",", ""))


def seconds(said):
    total = 0
    for part in said.split(":"):
        total = total * 60 + int(part)
    return total


def wait(text):
    return seconds(re.search(r"Longest wait +([\d:]+)", text).group(1))


def columns(text):
    """The three columns of each figure of the windows, by its name."""
    lines = text.splitlines()
    at, head = next((at, line) for at, line in enumerate(lines) if "15 minutes" in line)
    starts = [head.index(name) for name in ("15 minutes", "4 hours", "8 hours")]
    end = head.index("│", starts[2])
    edges = list(zip(starts, [*starts[1:], end]))
    found = {}
    for y in range(at + 1, len(lines)):
        name = lines[y][1 : starts[0]].strip()
        if name:
            found[name] = [(lines[y][x:to][:8].strip(), [row[x:to][8:] for row in lines[y : y + 2]]) for x, to in edges]
        if name.startswith("Avg"):
            return found
    raise AssertionError(text)


def agrees(world, workspace, channel=""):
    """Whether each figure on the screen is the API's."""

    def check(text):
        now = world.ask("GetRealtime", workspace, task_channel=channel)
        equal(number(text, "Active"), now["total_tasks"])
        for name in ["pending", "reserved", "assigned", "wrapping"]:
            equal((name, number(text, name.capitalize())), (name, now["tasks_by_status"][name]))
        equal(number(text, "In 5 min"), now["tasks_by_status"]["completed"])
        equal(number(text, "completed,"), now["tasks_by_status"]["canceled"])
        equal(number(text, "Workers"), now["total_workers"])
        for priority, tasks in now["tasks_by_priority"].items():
            equal(number(text, f"Priority {priority}"), tasks)
        for activity in now["activity_statistics"]:
            equal(number(text, activity["friendly_name"]), activity["workers"])
        shown = columns(text)
        for at, minutes in enumerate(WINDOWS):
            past = world.ask("GetCumulative", workspace, task_channel=channel, minutes=minutes, split_by_wait_time=[20])
            accepted = past["reservations_accepted"]
            level, ms = "–", past["avg_task_acceptance_time"]
            if accepted:
                percent = 100 * past["split_by_wait_time"]["20"]["below"]["reservations_accepted"] // accepted
                level = f"{percent}% {'ok' if percent >= 80 else 'low'}"
            average = f"{(ms + 500) // 60_000}:{(ms + 500) // 1000 % 60:02}" if accepted else "–"
            expected = [level, *(f"{past[name]:,}" for name in ["tasks_created", "reservations_accepted", "tasks_canceled"])]
            equal([figure[at][0] for figure in shown.values()], [*expected, average])
        return True

    return check


def trend(values, columns, eighths):
    """The expected rows of a trend: whole buckets, as many together as it takes."""
    together = -(-len(values) // columns)
    whole = values[len(values) % together :] if together > 1 else [one for one in values for _ in range(columns // len(values))]
    points = [sum(whole[at : at + together]) for at in range(0, len(whole), together)]
    most = max(1, *points)
    heights = [1 + point * (eighths - 1) // most for point in points]
    return ["".join(EIGHTHS[max(0, min(8, height - below))] for height in heights) for below in range(eighths - 8, -1, -8)]


def shows_the_figures(world):
    """every figure on the screen is the API's, and so are the trends"""
    with world.watch("--title", "Customer care", workspace=world.centre) as terminal:
        terminal.until(agrees(world, world.centre), "the API's figures")

        def same_trends(text):
            rows = columns(text)["Created"]
            for (minutes, bucket), (_, shown) in zip(WINDOWS.items(), rows):
                end = int(time.time()) // bucket * bucket
                interval = {"start_time": written((end - minutes * 60) * 1000), "end_time": written(end * 1000)}
                answer = world.ask("GetCumulativeSeries", world.centre, bucket=f"{bucket}s", **interval)
                values = [one["tasks_created"] for one in answer["buckets"]]
                wide = len(shown[0]) - 1
                equal([row.rstrip() for row in shown], [row.rstrip() for row in trend(values, wide, 16)])
            return True

        terminal.until(same_trends, "the API's trends")
        shoot(terminal, "live")
        terminal.resize((80, 24))
        terminal.shows("● Live", "Completed, 5 min")
        shoot(terminal, "usual")
        terminal.resize((160, 45))
        terminal.until(agrees(world, world.centre), "the figures of a large terminal")
        shoot(terminal, "large")


def shows_a_change(world):
    """a change is pushed to the screen, and the wait counts up by itself"""
    world.ingest(type="EVENT_TYPE_ACTIVITY_CREATED", activity={"sid": "WA" + "1" * 32, "friendly_name": "Ready", "available": True})
    world.create_task()
    # So seldom a heartbeat that none comes here.
    with world.watch("--heartbeat", "10m", size=NARROW) as terminal:
        before = number(terminal.shows("● Live", "Active") and terminal.text(), "Active")
        world.create_task()
        terminal.until(lambda text: number(text, "Active") == before + 1, "one more task")
        seen = [wait(terminal.text())]

        def counts(text):
            if wait(text) != seen[-1]:
                seen.append(wait(text))
            return len(seen) >= 4

        def told():
            return world.ask("GetRealtime", world.client.scenario.workspace)["longest_task_waiting_age"] // 1000

        before = told()
        shown = terminal.until(lambda text: wait(text) >= before and wait(text), "the API's wait")
        assert shown <= told() + 1, f"{shown} is ahead of the API"
        terminal.until(counts, "a wait that counts")
        equal(seen, sorted(seen))
        shoot(terminal, "small")


def turns_colour(world):
    """a wait turns colour at its thresholds, and says so in words"""
    age = world.ask("GetRealtime", world.client.scenario.workspace)["longest_task_waiting_age"] // 1000
    with world.watch("--warn", str(age + 6), "--alarm", "86400", size=NARROW) as terminal:
        terminal.shows("● Live", "since ")
        # As pyte shows the colours 3 and 1 of the palette.
        terminal.shows("Warning, over")
        equal({cell.bg for cell in terminal.cells("Warning, over")}, {"cdcd00"})
    with world.watch("--warn", "1", "--alarm", "2", size=NARROW) as terminal:
        terminal.shows("ALARM, over 0:02")
        equal({cell.bg for cell in terminal.cells("ALARM, over")}, {"cd0000"})
        terminal.resize(WIDE)
        terminal.shows("ALARM, over", "████")
        shoot(terminal, "alarm")
    with world.watch("--warn", "3", "--alarm", "2") as terminal:
        equal(terminal.exit_code(), 2)
        assert "--warn 3 is more than --alarm 2" in terminal.text(), terminal.text()


def comes_back(world):
    """a killed server leaves stale figures with their time, and one that comes back live ones"""
    try:
        is_stale_and_comes_back(world, world.centre)
    finally:
        # Further checks have a server, whatever became of this one.
        if world.server.process.poll() is not None:
            world.server.restart()
        world.reconnect()


def is_stale_and_comes_back(world, workspace):
    with world.watch(workspace=workspace) as terminal:
        terminal.until(agrees(world, workspace), "the figures")
        tasks = number(terminal.text(), "Active")
        assert terminal.cells("■ Pending")[0].fg != "default"
        world.server.kill()
        terminal.until(lambda text: re.search(r"▲ Stale since \d\d:\d\d:\d\d, trying again (in \d+ s|now)", text), "a stale board")
        text = terminal.text()
        assert "● Live" not in text, text
        equal(number(text, "Active"), tasks)
        assert b"\x1b[2m" in terminal.bytes(), "nothing is dimmed"
        with terminal.lock:
            body = [cell for y in range(2, WIDE[1] - 1) for cell in terminal.emulated.buffer[y].values()]
        equal({(cell.fg, cell.bg, cell.bold) for cell in body}, {("default", "default", False)})
        # How it broke is told first, and then why there is no other connection.
        terminal.shows("UNAVAILABLE")
        shoot(terminal, "stale")
        world.server.restart()
        world.reconnect()
        terminal.shows("● Live")
        terminal.until(agrees(world, workspace), "the figures again")


def chooses(world):
    """a channel is chosen from a list or by the arrows, and a workspace from a list"""
    workspace = world.client.scenario.workspace
    world.create_task(task_channel_unique_name="chat")
    with world.watch() as terminal:
        terminal.shows("● Live", "all channels")
        terminal.type("c")
        terminal.shows("Choose a task channel", "chat", "voice")
        shoot(terminal, "channels")
        terminal.type("\x1b[B\r")
        terminal.shows("channel chat", "● Live")
        terminal.until(agrees(world, workspace, "chat"), "the figures of chat")
        terminal.type("\x1b[C")
        terminal.shows("channel voice", "● Live")
        terminal.until(agrees(world, workspace, "voice"), "the figures of voice")
        terminal.type("w")
        terminal.shows("Choose a workspace", world.centre)
        terminal.type("\x1b")
        terminal.until(lambda text: world.centre not in text, "the list is closed")
        terminal.type("?")
        terminal.shows("Any key closes this.", "choose a task channel")
        terminal.type("qq")
        equal(terminal.exit_code(), 0)
        assert "\nChannel voice\r\n" in terminal.after(), terminal.after()
    with world.watch("--channel", "nobody", size=NARROW) as terminal:
        terminal.shows("● Live", "No event has named this channel yet, as of ")
        world.create_task(task_channel_unique_name="nobody")
        terminal.until(lambda text: "No event has" not in text and number(text, "Active") == 1, "its first task")
    with Terminal([world.binary, "watch", "--address", world.server.address]) as terminal:
        terminal.shows("Choose a workspace", world.centre, workspace)
        terminal.type("\r")
        terminal.shows("● Live")
        terminal.type("\x03")
        equal(terminal.exit_code(), 0)


def fits(world):
    """the board fits the terminal's size, and says what it takes where there is too little room"""
    with world.watch(workspace=world.centre) as terminal:
        terminal.shows("● Live", "Avg acceptance")
        terminal.resize(NARROW)
        terminal.shows("● Live", "Longest wait", "Avg acc.", "8 hours", "Priority 0", "q end", "Available")
        assert all(len(line) <= NARROW[0] for line in terminal.lines())
        terminal.resize((40, 10))
        terminal.shows("This terminal is 40 by 10.", "The board needs 60 by 20.")
        terminal.resize((3, 1))
        terminal.resize(WIDE)
        terminal.shows("● Live", "Avg acceptance")
        with terminal.lock:
            terminal.emulated.reset()
        terminal.type("\x0c")
        terminal.shows("Longest wait", "Avg acceptance", "q end", "┌─ By priority")


def gives_back(world):
    """the terminal is given back by q, Esc, Ctrl-C, SIGINT, SIGTERM, SIGHUP and SIGQUIT"""
    ends = [("q", 0), ("\x1b", 0), ("\x03", 0), (signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
    ends.append((signal.SIGQUIT, 131))
    for way, code in ends:
        with world.watch(size=NARROW) as terminal:
            terminal.shows("● Live")
            terminal.signal(way) if isinstance(way, signal.Signals) else terminal.type(way)
            equal((way, terminal.exit_code()), (way, code))
            terminal.is_given_back()
            # The last state is left there by those who ended it themselves.
            equal("Tasks now" in terminal.after(), code == 0)


def suspends(world):
    """Ctrl-Z gives the terminal to the shell, and fg brings the board back"""
    flags = f"--address {world.server.address}"
    with Terminal(["bash", "--norc", "--noprofile", "-i"], WIDE, {"PS1": "ready> "}) as terminal:
        terminal.shows("ready>")
        terminal.type(f"{world.binary} watch {world.centre} {flags}\r")
        terminal.shows("● Live")
        terminal.type("\x1a")
        terminal.until(lambda _: b"Stopped" in terminal.bytes() and terminal.after().rstrip().endswith("ready>"), "the shell")
        # On its own screen, which pyte does not keep apart: a board that is painted anew is seen by what comes after.
        before = len(terminal.bytes())
        terminal.type("fg\r")
        terminal.until(lambda _: "Longest wait".encode() in terminal.bytes()[before:], "the board again")
        terminal.type("q")
        terminal.until(lambda _: terminal.after().rstrip().endswith("ready>"), "the shell again")


def has_no_colour(world):
    """NO_COLOR leaves no colour, and without it there is some"""
    for env, expected in [({"NO_COLOR": "1"}, False), ({}, True)]:
        with world.watch("--warn", "1", "--alarm", "1", workspace=world.centre, env=env) as terminal:
            terminal.until(agrees(world, world.centre), "the figures")
            equal(bool(COLOR.search(terminal.bytes())), expected)
    world.create_task(age_s=5)
    with world.watch("--warn", "1", "--alarm", "1", env={"NO_COLOR": "1"}) as terminal:
        terminal.shows("ALARM, over")
        assert all(cell.reverse for cell in terminal.cells("ALARM, over")), "nothing tells the alarm from the rest"


def withstands(world):
    """names that hold escape sequences and line breaks steer nothing and break no line"""
    hostile = "\x1b[2J\x1b[31m\x1b]0;owned\x07\x9b5mgot\n\r\x08you\u202e" + "長い名前" * 40
    world.ingest(type="EVENT_TYPE_ACTIVITY_CREATED", activity={"sid": "WA" + "2" * 32, "friendly_name": hostile, "available": True})
    for at in range(40):
        activity = {"sid": f"WA{at + 16:032x}", "friendly_name": f"Activity {at}", "available": True}
        world.ingest(type="EVENT_TYPE_ACTIVITY_CREATED", activity=activity)
    world.ingest(type="EVENT_TYPE_WORKER_CREATED", worker={"sid": "WK" + "1" * 32, "friendly_name": "Eve", "activity_sid": "WA" + "2" * 32, "activity_name": hostile})
    world.create_task(task_channel_unique_name="\x1b[31mchannel\n")
    for size in [NARROW, WIDE]:
        with world.watch(size=size) as terminal:
            terminal.shows("● Live", "more", "\ufffd[2J")
            # Until a frame is drawn to its end: what was read may stop in the middle of one.
            ends = lambda _: all(len(line) == 0 or line[-1] in "│┐┘" for line in terminal.lines()[2:-1])
            terminal.until(ends, "lines that end where their boxes do")
            raw = terminal.bytes()
            for steering in [b"\x1b[2J\x1b[31m", b"\x1b]0;", b"\x07", b"\xc2\x9b", "\u202e".encode(), b"\n"]:
                assert steering not in raw, steering
            terminal.type("c")
            terminal.shows("\ufffd[31mchannel\ufffd")


def ends_where_it_must(world):
    """what trying again cannot help ends it with a message and its exit code"""
    stranger = "WS" + "f" * 32
    with world.watch(workspace=stranger) as terminal:
        equal(terminal.exit_code(), REASONS["request"])
        terminal.is_given_back()
        assert "NOT_FOUND" in terminal.after() and "WORKSPACE_NOT_FOUND" in terminal.after(), terminal.after()
    with world.watch(workspace="WS1") as terminal:
        equal(terminal.exit_code(), REASONS["request"])
        assert "INVALID_ARGUMENT" in terminal.after(), terminal.after()
    made = subprocess.run([world.binary, "credentials", "new", "--name", "one", "--roles", "ingest"], capture_output=True, text=True, check=True)
    file = Path(world.server.folder.name) / "credentials.toml"
    file.write_text(made.stdout, encoding="utf-8")
    with Server(world.binary, "--credentials", str(file)) as server:
        command = [world.binary, "watch", stranger, "--address", server.address]
        for token, reason in [(None, "CREDENTIALS_MISSING"), ("tt_guess", "CREDENTIALS_WRONG"), (made.stderr.split()[-1], "ROLE_MISSING")]:
            with Terminal(command, env={"TASKTALLY_TOKEN": token} if token else {}) as terminal:
                equal(terminal.exit_code(), REASONS["access"])
                terminal.is_given_back()
                assert reason in terminal.after(), terminal.after()


def keeps_less(world):
    """a window that the server does not keep says so, and where it takes no more watchers what is comes first"""
    for flags, wanted in [(["--retention", "1h"], ["15 minutes", "--retention"]), (["--max-watchers", "1"], ["15 min, stale"])]:
        with Server(world.binary, *flags) as server:
            other = World(server, None)
            other.create_task()
            with other.watch(size=NARROW) as terminal:
                terminal.shows("● Live", *wanted)
                equal(number(terminal.text(), "Active"), 1)
                if "--max-watchers" in flags:
                    with other.watch(size=NARROW) as refused:
                        refused.shows("▲ Refused for now, trying again in", "RESOURCE_EXHAUSTED", "no figures yet")


def is_plain_in_a_pipe(world):
    """piped, and where it is asked for, there is a line for each update"""
    command = [world.binary, "watch", world.centre, "--address", world.server.address, "--utc"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        equal(process.wait(timeout=30), 0)
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC revision=\d+ tasks=\d+ pending=\d+ .* longest_wait=\S+\n$", line), line
    for flags, env in [(["--plain"], {}), ([], {"TERM": "dumb"}), (["--output", "json"], {})]:
        with Terminal([*command, *flags], env=env) as terminal:
            terminal.until(lambda text: "revision=" in text or '"totalTasks"' in text, "a line")
            assert b"\x1b" not in terminal.bytes(), terminal.bytes()


if __name__ == "__main__":
    with Server(sys.argv[1]) as server:
        checks = [shows_the_figures, shows_a_change, turns_colour, comes_back, chooses, fits, gives_back, suspends]
        checks += [has_no_colour, withstands, ends_where_it_must, keeps_less, is_plain_in_a_pipe]
        code = run("terminal", checks, server, World(server))
    sys.exit(code)
