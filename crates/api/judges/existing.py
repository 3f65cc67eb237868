"""What is there by now, for requests that are to name it: a random name is one of nothing.

Every other request gets something from here, so that what names nothing is sent as well. A request that follows a link has
what it needs.
"""

import itertools
import os
import random

# VMs that were made and not removed, by their ids.
VMS = set()
# Shares that were given and not taken back: VM and principal.
SHARES = set()
# With whom a VM may be shared, and who gets the VMs of a team that goes.
FRIEND, SELF = "ann", f"some-{os.environ['PITWALL_WHO']}"
TURNS = itertools.count()
SHARE = "/v1/vms/{vm}/shares/{principal}"
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


def supply(case):
    """Puts what is there in the place of names that were made up, every other time."""
    path, named = case.operation.path, case.path_parameters or {}
    if is_linked(case) or next(TURNS) % 2:
        return
    if (case.method, path) == ("DELETE", SHARE) and SHARES:
        named["vm"], named["principal"] = some(SHARES)
    elif path.startswith("/v1/vms/{vm}") and VMS:
        named["vm"] = some(VMS)
        if path == SHARE:
            named["principal"] = FRIEND
    elif (case.method, path) == ("DELETE", "/v1/teams/{team}"):
        case.query = {**(case.query or {}), "transfer_to": SELF}


def some(things):
    return RANDOM.choice(sorted(things))


def is_linked(case):
    return case.meta is not None and case.meta.phase.name == "stateful"
