"""Requests that TaskRouter's own Python library signs, against the binary given as the first argument."""

import base64
import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

import requests
from twilio.request_validator import RequestValidator

from served import Server, equal, run

TOKEN, OTHER_TOKEN = "0123456789abcdef" * 2, "fedcba9876543210" * 2
ACCOUNT, OTHER_ACCOUNT = "AC" + "a" * 32, "AC" + "b" * 32
PUBLIC = "https://events.example.com"
CALLBACK, STREAM = "/v1/events/callback", "/v1/events/stream"


def sid(letters, number):
    return f"{letters}{number:032x}"


def form(number, **changed):
    """A reservation that is accepted, with every field that people have seen."""
    now_ms = int(time.time() * 1000)
    return {
        "EventType": "reservation.accepted",
        "EventDescription": "Reservation accepted: 100 % “sure” & more",
        "ResourceType": "reservation",
        "ResourceSid": sid("WR", number),
        "AccountSid": ACCOUNT,
        "WorkspaceSid": sid("WS", 1),
        "WorkspaceName": "Flex Task Assignment",
        "Sid": sid("EV", number),
        "Timestamp": str(now_ms // 1000),
        "TimestampMs": str(now_ms),
        "TaskSid": sid("WT", number),
        "TaskAttributes": json.dumps({"name": "Zoë", "a": "b=c&d"}),
        "TaskAge": "5",
        "TaskDateCreated": str(now_ms // 1000 - 5),
        "TaskPriority": "0",
        "TaskAssignmentStatus": "assigned",
        "TaskChannelUniqueName": "voice",
        "TaskVersion": "2",
        "ReservationSid": sid("WR", number),
        "ReservationVersion": "1",
        "WorkerSid": sid("WK", 1),
        "WorkerName": "bob",
        "WorkerActivitySid": sid("WA", 1),
        "WorkerActivityName": "",
        **changed,
    }


def stream(number):
    payload = {
        "sid": sid("EV", number),
        "eventtype": "task.created",
        "account_sid": ACCOUNT,
        "workspace_sid": sid("WS", 1),
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        "task_sid": sid("WT", number),
        "task_date_created": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        "task_assignment_status": "pending",
        "task_channel_unique_name": "voice",
        "task_priority": 1,
    }
    return json.dumps([{"specversion": "1.0", "type": "com.twilio.taskrouter.task.created", "data": {"payload": payload}}])


class Sender:
    """Posts to the server as the outside would, by way of a proxy that has the public name."""

    def __init__(self, server):
        self.base = f"http://{server.address}"

    def callback(self, fields, token=TOKEN, url=PUBLIC + CALLBACK, **headers):
        if token:
            headers["X-Twilio-Signature"] = RequestValidator(token).compute_signature(url, fields)
        kind = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
        return requests.post(self.base + CALLBACK, data=urlencode(fields), headers={**kind, **headers}, timeout=30)

    def stream(self, body, token=TOKEN, named=None):
        query = "?bodySHA256=" + hashlib.sha256((named or body).encode()).hexdigest()
        signature = RequestValidator(token).compute_signature(PUBLIC + STREAM + query, {})
        headers = {"content-type": "application/json", "X-Twilio-Signature": signature}
        return requests.post(self.base + STREAM + query, data=body.encode(), headers=headers, timeout=30)


def problem(answer, status):
    code = 20001 if status == 400 else 20000 + status
    equal((answer.status_code, answer.json()["code"]), (status, code))
    return answer.json()["message"]


def signed_callback_is_taken_and_its_retry_is_a_duplicate(sender):
    """signed callback is taken and its retry is a duplicate"""
    fields = form(1)
    for outcome in ["accepted", "duplicate"]:
        answer = sender.callback(fields)
        equal((answer.status_code, answer.headers["tasktally-outcome"], answer.content), (204, outcome, b""))


def port_may_be_spelled_out_or_not(sender):
    """port may be spelled out or not"""
    answer = sender.callback(form(2), url="https://events.example.com:443" + CALLBACK)
    equal(answer.status_code, 204)


def library_and_server_agree_on_what_is_signed(sender):
    """library and server agree on what is signed"""
    validator = RequestValidator(TOKEN)
    fields = form(3)
    signature = validator.compute_signature(PUBLIC + CALLBACK, fields)
    equal(validator.validate(PUBLIC + CALLBACK, fields, signature), True)
    equal(len(base64.b64decode(signature)), 20)
    equal(sender.callback(fields).status_code, 204)


def missing_and_wrong_signatures_are_403(sender):
    """missing and wrong signatures are 403"""
    problem(sender.callback(form(4), token=None), 403)
    problem(sender.callback(form(4), token=OTHER_TOKEN), 403)
    problem(sender.callback(form(4), url=PUBLIC + CALLBACK + "?x=1"), 403)
    problem(sender.callback(form(4), url="http://events.example.com" + CALLBACK), 403)
    equal(sender.callback(form(4)).headers["tasktally-outcome"], "accepted")


def signature_is_of_its_account_alone(sender):
    """signature is of its account alone"""
    problem(sender.callback(form(5, AccountSid=OTHER_ACCOUNT)), 403)
    answer = sender.callback(form(5, AccountSid=OTHER_ACCOUNT, WorkspaceSid=sid("WS", 2)), token=OTHER_TOKEN)
    equal(answer.status_code, 204)


def signed_stream_is_taken_if_its_url_names_its_body(sender):
    """signed stream is taken if its url names its body"""
    body = stream(6)
    answer = sender.stream(body)
    equal((answer.status_code, answer.json()), (200, {"accepted": 1, "duplicates": 0, "refused": []}))
    problem(sender.stream(body, token=OTHER_TOKEN), 403)
    problem(sender.stream(body, named="[]"), 403)


def refused_callback_says_why(sender):
    """refused callback says why"""
    message = problem(sender.callback(form(7, TaskDateCreated="yesterday")), 400)
    equal(message.startswith("MALFORMED_FIELD: TaskDateCreated: must be seconds"), True)


CHECKS = [
    signed_callback_is_taken_and_its_retry_is_a_duplicate,
    port_may_be_spelled_out_or_not,
    library_and_server_agree_on_what_is_signed,
    missing_and_wrong_signatures_are_403,
    signature_is_of_its_account_alone,
    signed_stream_is_taken_if_its_url_names_its_body,
    refused_callback_says_why,
]


def entry(name, account, token):
    return f'[[auth_token]]\nname = "{name}"\naccount = "{account}"\ntoken = "{token}"\n\n'


def main():
    with tempfile.TemporaryDirectory() as folder:
        credentials = Path(folder) / "credentials.toml"
        text = entry("acme", ACCOUNT, TOKEN) + entry("other", OTHER_ACCOUNT, OTHER_TOKEN)
        credentials.write_text(text, encoding="utf-8")
        credentials.chmod(0o600)
        with Server(sys.argv[1], "--credentials", str(credentials), "--public-url", PUBLIC) as server:
            sender = Sender(server)
            return run("twilio-signatures", CHECKS, server, sender)


if __name__ == "__main__":
    sys.exit(main())
