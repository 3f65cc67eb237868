"""What is there by now, for requests that are to name it: a random name is one of nothing.

Of each operation the first request and then every other one gets something from here, so that what names nothing is sent
as well, and an operation that is tried a few times only has its share. A request that follows a link has
what it needs.
"""

import collections
import itertools
import json
import os
import random
import urllib.request

from tokens import token_of

# VMs that were made and not removed, by their ids.
VMS = set()
# Shares that were given and not taken back: VM and principal.
SHARES = set()
# VMs that were found on a host: host and VM.
FOUND = set()
# Keys that were added: user and fingerprint.
KEYS = set()
# With whom a VM may be shared, and who gets the VMs of a team that goes.
FRIEND, SELF = "ann", f"some-{os.environ['PITWALL_WHO']}"
TURNS = collections.defaultdict(itertools.count)
SHARE = "/v1/vms/{vm}/shares/{principal}"
FOUND_VM = "/v1/hosts/{host}/found/{vm}"
KEY = "/v1/users/{user}/keys/{fingerprint}"
RANDOM = random.Random(1)


def note(case, response):
    """Takes note of what a request made or removed."""
    operation, named = (case.method, case.operation.path), case.path_parameters or {}
    share = (named.get("vm"), named.get("principal"))
    match operation:
        case ("POST", "/v1/vms"):
            VMS.add(response.json()["id"])
        case ("DELETE", "/v1/vms/{vm}"):
            VMS.discard(named["vm"])
        case ("PUT", path) if path == SHARE:
            SHARES.add(share)
        case ("DELETE", path) if path == SHARE:
            SHARES.discard(share)
        case ("GET", "/v1/hosts/{host}/found"):
            FOUND.update((named["host"], vm["id"]) for vm in response.json()["items"])
        case (_, path) if path.startswith(FOUND_VM):
            FOUND.discard((named["host"], named["vm"]))
        case ("POST", "/v1/users/{user}/keys"):
            KEYS.add((named["user"], response.json()["fingerprint"]))
        case ("DELETE", path) if path == KEY:
            KEYS.discard((named["user"], named["fingerprint"]))


def supply(case):
    """Puts what is there in the place of names that were made up, every other time."""
    operation, path, named = (case.method, case.operation.path), case.operation.path, case.path_parameters or {}
    if is_linked(case) or next(TURNS[operation]) % 2:
        return
    if operation == ("DELETE", SHARE) and SHARES:
        named["vm"], named["principal"] = some(SHARES)
    elif path.startswith("/v1/vms/{vm}") and VMS:
        named["vm"] = some(VMS)
        if path == SHARE:
            named["principal"] = FRIEND
    elif path.startswith(FOUND_VM) and FOUND:
        named["host"], named["vm"] = some(FOUND)
    elif path == KEY and KEYS:
        named["user"], named["fingerprint"] = some(KEYS)
    elif operation == ("POST", "/v1/login") and isinstance(case.body, dict):
        case.body = {**case.body, "code": code()}
    elif operation == ("DELETE", "/v1/teams/{team}"):
        case.query = {**(case.query or {}), "transfer_to": SELF}


def code():
    """A one-time code that nobody used: a new one, as it does not outlive the next."""
    url = f"{os.environ['PITWALL_URL']}/v1/users/{FRIEND}/code"
    asked = urllib.request.Request(url, method="POST", headers={"Authorization": f"Bearer {token_of('admin')}"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return json.load(answer)["secret"]


def some(things):
    return RANDOM.choice(sorted(things))


def is_linked(case):
    return case.meta is not None and case.meta.phase.name == "stateful"
