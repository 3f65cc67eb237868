"""How schemathesis signs in, and what it has to be told of bodies that are no JSON.

A header on its command line would show the token to everybody on the machine. And it tries everything: it revokes its own
token, and as an admin it disables itself. So a token that was refused is given up, and the server gives out another.
"""

import os

import schemathesis
from tokens import token_of

WHO = os.environ["PITWALL_WHO"]
# What a token is refused with that was good when it was given out.
SPOILT = {"unauthenticated", "token_expired", "user_disabled", "insufficient_scope"} | (
    {"admin_only"} if WHO == "admin" else set()
)
# The token until it is spoilt.
KEPT = {}


@schemathesis.auth(refresh_interval=None)
class Token:
    def get(self, _case, _context):
        if "token" not in KEPT:
            KEPT["token"] = token_of(WHO)
        return KEPT["token"]

    def set(self, case, token, _context):
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def after_call(_context, _case, response):
    sent = response.request.headers.get("Authorization", "")
    if response.status_code in (401, 403) and sent == f"Bearer {KEPT.get('token')}":
        if response.json().get("code") in SPOILT:
            KEPT.pop("token", None)


@schemathesis.hook
def before_call(_context, case, _arguments):
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
