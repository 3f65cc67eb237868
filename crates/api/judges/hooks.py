"""How schemathesis signs in, and what it cannot know of a request that it makes.

A header on its command line would show the token to everybody on the machine. And it tries everything: it revokes its own
token, and as an admin it disables itself. So a token that was refused is given up, and the server gives out another.
"""

import itertools
import os
import re

import existing
import schemathesis
from tokens import token_of

WHO = os.environ["PITWALL_WHO"]
# What a token is refused with that was good when it was given out.
SPOILT = {"unauthenticated", "token_expired", "user_disabled", "insufficient_scope"} | (
    {"admin_only"} if WHO == "admin" else set()
)
# The token until it is spoilt.
KEPT = {}
# Seconds that a VM lives and runs at least, and what says how long.
LASTING = 600
SPANS = {("POST", "/v1/vms"), ("PATCH", "/v1/vms/{vm}")}
# An image that hosts have, and what is unlikely to be right where it is random.
IMAGE = "debian:12"
UNLIKELY = {"keys", "user_cas", "user_keys", "labels", "service", "registry_auth", "owner"}
# What makes a name or a key another than all before.
NUMBERS = itertools.count()
NAMED = {("POST", "/v1/vms"), ("POST", "/v1/users"), ("POST", "/v1/teams"), ("POST", "/v1/hosts/{host}/found/{vm}/adopt")}
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")
KEY = re.compile(r"[!-~]{1,128}")


@schemathesis.auth(refresh_interval=None)
class Token:
    def get(self, _case, _context):
        if "token" not in KEPT:
            KEPT["token"] = token_of(WHO)
        return KEPT["token"]

    def set(self, case, token, _context):
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def after_call(_context, case, response):
    if 200 <= response.status_code < 300:
        existing.note(case, response)
    sent = response.request.headers.get("Authorization", "")
    if response.status_code in (401, 403) and sent == f"Bearer {KEPT.get('token')}":
        if response.json().get("code") in SPOILT:
            KEPT.pop("token", None)


@schemathesis.hook
def before_call(_context, case, _arguments):
    if not is_wrong(case):
        existing.supply(case)
        make_lasting(case)
        make_bootable(case)
    make_new(case)
    make_unconditional(case)
    make_brief(case)


def make_new(case):
    """Names and keys that nobody used before: an example is taken, and a key that comes twice is refused (422), so that the
    refusal would tell nothing of what else was sent. Tests of the server look at those that come twice."""
    body = case.body
    if (case.method, case.operation.path) in NAMED and isinstance(body, dict):
        if isinstance(body.get("name"), str) and NAME.fullmatch(body["name"]):
            case.body = {**body, "name": f"{body['name'].rstrip('-')}-{next(NUMBERS)}"}
    headers = case.headers or {}
    if KEY.fullmatch(headers.get("Idempotency-Key", "")):
        headers["Idempotency-Key"] = f"judge-{next(NUMBERS)}"


def make_unconditional(case):
    """A tag that holds (`*`) in the place of one that was made up. For its coverage schemathesis writes letters and digits
    alone into headers, and takes `0` for a tag, which has quotes. And what is not as it was (412) is told before a value
    is looked at, so that the refusal would tell nothing of the value."""
    headers, phase = case.headers or {}, case.meta.phase.data if case.meta else None
    if getattr(phase, "parameter", None) == "If-Match":
        return
    if headers.get("If-Match") == "0" or (is_wrong(case) and '"' in headers.get("If-Match", "")):
        headers["If-Match"] = "*"


def make_lasting(case):
    """VMs that are there and run when something is asked of them: one with a lease of a second is of no use."""
    if (case.method, case.operation.path) in SPANS and isinstance(case.body, dict):
        short = {"ttl_seconds", "lease_seconds", "idle_after_seconds"} & case.body.keys()
        case.body = {**case.body, **{field: case.body[field] and max(case.body[field], LASTING) for field in short}}


def make_bootable(case):
    """For what follows on a VM, one that is made: of the images and keys that a pattern tells of hardly any is one."""
    is_create = (case.method, case.operation.path) == ("POST", "/v1/vms") and isinstance(case.body, dict)
    if is_create and existing.is_linked(case):
        case.body = {**{field: value for field, value in case.body.items() if field not in UNLIKELY}, "image": IMAGE}


def is_wrong(case):
    """Whether it is there to be refused."""
    return case.meta is not None and case.meta.generation.mode.is_negative


def make_brief(case):
    """No cursors, and no waiting."""
    query = case.query or {}
    # A cursor is opaque, and its schema cannot say which ones there are: one that is made up is a bad one (400), which a
    # test of the server looks at.
    if query.get("cursor") is not None:
        query.pop("cursor")
    # A log that is followed ends with its VM and not before: nothing of it could be judged but that it is late.
    if case.operation.path.endswith("/logs"):
        query.pop("follow", None)
    # Whoever waits for what does not come about waits for as long as they said, which is no fault.
    if case.operation.path.endswith("/wait") and str(query.get("timeout", 60)).isdigit():
        if int(query.get("timeout", 60)) <= 300:
            query["timeout"] = 0
            case.query = query
