"""Lets schemathesis exercise a running Pitwall as one caller, and judges what it reports.

    exercise.py SECONDS FOLDER    (PITWALL_URL, PITWALL_TOKENS and PITWALL_WHO say where, and as whom)

It runs twice: over all operations, and along the links between those of a VM's life, which it hardly ever follows from
end to end among four hundred others.

schemathesis counts a run as passed in which it met nothing but refusals: a quota of ten VMs is enough for that. So its
own verdict is the first of three things that must hold. The second is that each operation answered 2xx at least once;
the third, that it took a VM through create, get and delete by the links that it found itself.
"""

import json
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENT = HERE.parent / "openapi.json"
SETTINGS = HERE / "schemathesis.toml"
LIFE_PATHS = r"^/v1/vms(/\{vm\})?$"
LIFE = [("POST", "/v1/vms"), ("GET", "/v1/vms/{vm}"), ("DELETE", "/v1/vms/{vm}")]
# Streams do not end by themselves; a request that takes longer than this is let go.
REQUEST_TIMEOUT = 3
RUNS = {
    "life": ["--phases", "stateful", "--include-path-regex", LIFE_PATHS, "--max-examples", "40"],
    "everything": ["--max-examples", os.environ.get("EXAMPLES", "10")],
}
# What is made up is the same each time, so that a change fails for what it changes; SEED looks elsewhere.
SEED = os.environ.get("SEED", "1")
# What schemathesis accepts by default, and all that may be added.
ACCEPTED = {"2xx", "3xx", "401", "403", "404", "409", "429", "5xx"}
MAY_BE_ACCEPTED = ACCEPTED | {"410", "412", "413", "422", "428"}


def settings_faults(settings):
    """What the settings switch off beyond what they may."""
    faults = []
    allowed = {
        "checks": lambda value: list(value) == ["positive_data_acceptance"]
        and list(value["positive_data_acceptance"]) == ["expected-statuses"]
        and set(value["positive_data_acceptance"]["expected-statuses"]) <= MAY_BE_ACCEPTED,
        "operations": lambda value: value
        == [
            {
                "include-name-regex": r"^GET /v1/vms/\{vm\}",
                "checks": {"use_after_free": {"enabled": False}},
            }
        ],
    }
    for key, value in settings.items():
        if key not in allowed or not allowed[key](value):
            faults.append(f"schemathesis.toml may not say this: {key} = {value}")
    return faults


# Open, and of no use to whoever has no one-time code; admins make those.
NEEDS_A_CODE = ("POST", "/v1/login")


def operations(document, who):
    """The operations that can answer 2xx to this caller."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            scopes = {scope for way in operation.get("security", []) for scopes in way.values() for scope in scopes}
            is_answered = any(status.startswith("2") for status in operation["responses"])
            is_for_admins = "admin" in scopes or (method.upper(), path) == NEEDS_A_CODE
            if is_answered and (who == "admin" or not is_for_admins):
                yield (method.upper(), path)


def scenarios(report):
    """What schemathesis recorded, scenario by scenario: cases with what was answered to them."""
    with open(report, encoding="utf-8") as lines:
        # The last line of a run that was ended may have been cut.
        for line in filter(lambda line: line.endswith("\n"), lines):
            for event, content in json.loads(line).items():
                if event in ("ScenarioFinished", "FuzzScenarioFinished"):
                    yield content["recorder"]


def status(recorder, case_id):
    interaction = recorder.get("interactions", {}).get(case_id) or {}
    return (interaction.get("response") or {}).get("status_code", 0)


def succeeded(recorder):
    """The cases that were answered 2xx: by id, the operation and the case."""
    return {
        case_id: ((case["value"]["method"], case["value"]["path"]), case)
        for case_id, case in recorder.get("cases", {}).items()
        if 200 <= status(recorder, case_id) < 300
    }


def is_life(recorder):
    """Whether one VM was created, read and removed, each step reached by a link from the one before or from create."""
    cases = succeeded(recorder)
    create, get, delete = LIFE
    for case_id, (operation, case) in cases.items():
        vm = case["value"].get("path_parameters", {}).get("vm")
        if operation != delete or vm is None:
            continue
        parents = set(ancestors(recorder, case_id))
        born = any(cases[parent][0] == create for parent in parents if parent in cases)
        read = any(
            operation == get
            and case["value"]["path_parameters"].get("vm") == vm
            and (other in parents or parents & set(ancestors(recorder, other)))
            for other, (operation, case) in cases.items()
        )
        if born and read:
            return True
    return False


def ancestors(recorder, case_id):
    while case_id := recorder["cases"].get(case_id, {}).get("parent_id"):
        yield case_id


def report_faults(document, who, recorders):
    """What schemathesis did not do, though it may have counted as passed."""
    answered, lived = set(), False
    for recorder in recorders:
        answered |= {operation for operation, _ in succeeded(recorder).values()}
        lived = lived or is_life(recorder)
    faults = [
        f"{method} {path} never answered 2xx" for method, path in operations(document, who) if (method, path) not in answered
    ]
    if not lived:
        faults.append("create, get and delete were never linked")
    return faults


def exercise(name, until, folder, arguments):
    """Runs schemathesis; gives what is to be said against it, and its report.

    All checks are on by default. To say so (`--checks all`) would switch on again what the settings switch off.
    """
    report = folder / f"{name}.ndjson"
    report.unlink(missing_ok=True)
    command = [
        Path(sys.executable).parent / "schemathesis",
        "--config-file",
        SETTINGS,
        "run",
        DOCUMENT,
        "--url",
        os.environ["PITWALL_URL"],
        "--continue-on-failure",
        "--request-timeout",
        str(REQUEST_TIMEOUT),
        "--seed",
        SEED,
        "--report",
        "ndjson",
        "--report-ndjson-path",
        report,
        *arguments,
    ]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE)}
    try:
        ended = subprocess.run(command, timeout=until - time.monotonic(), cwd=folder, env=environment, check=False)
    except subprocess.TimeoutExpired:
        late = f"{name} took longer than it may: the machine is busy, or the limit in scripts/judges is too low"
        return [late], report
    faults = [f"schemathesis ended with {ended.returncode} for {name}"] if ended.returncode != 0 else []
    return faults, report


def main():
    who, seconds, folder = os.environ["PITWALL_WHO"], float(sys.argv[1]), Path(sys.argv[2]).resolve()
    faults = settings_faults(tomllib.loads(SETTINGS.read_text()))
    document = json.loads(DOCUMENT.read_text())
    until, recorders = time.monotonic() + seconds, []
    for name, arguments in RUNS.items():
        more, report = exercise(name, until, folder, arguments)
        faults += more
        recorders += scenarios(report) if report.exists() else []
    faults += report_faults(document, who, recorders)
    for fault in faults:
        print(f"{who}: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
