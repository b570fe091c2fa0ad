"""What is asked, and answers in one form: plain numbers that are equal or are not.

A cumulative answer is {type: (count, total wait, least wait, longest wait, waits below each threshold...)} of the types
that have any. A real-time answer is {"tasks": {(status, priority): n}, "waiting": (sid, created) or None, "ended":
{status: n}, "activities": {(name, sid): workers}, "workers": n}. All times are in milliseconds.
"""

from dataset import ACCEPTED, CANCELED, STATUSES, TYPES

THRESHOLDS = [5, 30, 60, 120, 300, 600, 1800, 7200]
WINDOWS = [("15 min", 900), ("8 h", 8 * 3600), ("30 d", 30 * 86_400 - 4 * 3600)]
# Edges of many intervals, so that no answer is one that somebody kept.
SHIFTS = 12
RETENTION_MS = 30 * 86_400_000
JUST_ENDED_MS = 5 * 60_000


def cumulative(now_s):
    """Questions by name, each a list of (start, end, thresholds) in seconds."""
    found = {}
    for window, seconds in WINDOWS:
        for split in (0, 2, 8):
            ends = [now_s - 600 - (shift * 7919) % 7200 for shift in range(SHIFTS)]
            found[f"{window}, {split} thresholds"] = [(end - seconds, end, THRESHOLDS[:split]) for end in ends]
    return found


FIGURES = {
    "TASK_CREATED": "tasks_created", "TASK_CANCELED": "tasks_canceled", "TASK_COMPLETED": "tasks_completed",
    "TASK_DELETED": "tasks_deleted", "TASK_QUEUE_MOVED": "tasks_moved",
    "WORKFLOW_TIMEOUT": "tasks_timed_out_in_workflow", "RESERVATION_CREATED": "reservations_created",
    "RESERVATION_ACCEPTED": "reservations_accepted", "RESERVATION_REJECTED": "reservations_rejected",
    "RESERVATION_TIMEOUT": "reservations_timed_out", "RESERVATION_CANCELED": "reservations_canceled",
    "RESERVATION_RESCINDED": "reservations_rescinded",
}


def ms(value):
    return value.seconds * 1000 + value.nanos // 1_000_000


def cumulative_answer(message, thresholds):
    """tasktally's answer in the common form; what it says twice must agree with itself."""
    answer = {TYPES[kind]: (getattr(message, figure),) for kind, figure in FIGURES.items() if getattr(message, figure)}
    assert sorted(message.split_by_wait_time) == sorted(thresholds)
    assert ms(message.avg_task_acceptance_time) == ms(message.wait_duration_until_accepted.avg)
    for kind, figure, waits in (
        (ACCEPTED, "reservations_accepted", message.wait_duration_until_accepted),
        (CANCELED, "tasks_canceled", message.wait_duration_until_canceled),
    ):
        if kind not in answer:
            assert not waits.count
            continue
        count = answer[kind][0]
        assert waits.count == count and ms(waits.avg) == ms(waits.total) // count
        below = [getattr(message.split_by_wait_time[t].below, figure) for t in thresholds]
        above = [getattr(message.split_by_wait_time[t].above, figure) for t in thresholds]
        assert [low + high for low, high in zip(below, above)] == [count] * len(thresholds)
        answer[kind] = (count, ms(waits.total), ms(waits.min), ms(waits.max), *below)
    return answer


def peer_cumulative(rows):
    """Rows of (type, count, total, min, max, below...) in the common form."""
    return {
        row[0]: tuple(int(value) for value in row[1:]) if row[0] in (ACCEPTED, CANCELED) else (int(row[1]),)
        for row in rows
    }


def realtime_answer(message):
    by_status = {name: getattr(message.tasks_by_status, name.lower()) for name in STATUSES if name != "UNSPECIFIED"}
    return {
        "status": {STATUSES[name]: n for name, n in by_status.items() if n},
        "priority": {priority: n for priority, n in message.tasks_by_priority.items() if n},
        "total": message.total_tasks,
        "waiting": (message.longest_task_waiting_sid[2:], ms(message.longest_task_waiting_since))
        if message.longest_task_waiting_sid
        else None,
        "age": ms(message.longest_task_waiting_age),
        "activities": [(row.friendly_name, row.sid[2:], row.workers) for row in message.activity_statistics],
        "workers": message.total_workers,
    }


def peer_realtime(rows, now_ms):
    """Rows of (kind, text, name, a, b), as every peer's statement gives them, in the common form."""
    answer = {"status": {}, "priority": {}, "total": 0, "waiting": None, "age": 0, "activities": [], "workers": 0}
    for kind, sid, name, a, b in rows:
        a, b = int(a), int(b)
        if kind == 1:  # active tasks: how many (b) of a status and priority
            status, priority = int(sid), a
            answer["status"][status] = answer["status"].get(status, 0) + b
            answer["priority"][priority] = answer["priority"].get(priority, 0) + b
            answer["total"] += b
        elif kind == 2:  # the longest wait
            answer["waiting"], answer["age"] = (sid, a), max(now_ms - a, 0)
        elif kind == 3:  # ended just now: how many (b) with a status (a)
            answer["status"][a] = answer["status"].get(a, 0) + b
        elif kind == 4:  # an activity: its workers (a), whether it is deleted (b)
            if a or not b:
                answer["activities"].append((name, sid, a))
        else:
            answer["workers"] = a
    answer["activities"].sort(key=lambda row: (row[0].encode(), row[1]))
    return answer
