"""Makes clients of the OpenAPI document in Python and TypeScript, and judges what their generators say.

    generate.py FOLDER     (NODE says which node)
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENT = HERE.parent / "openapi.json"


def ran(command, folder):
    """All that a generator says; it must end well."""
    ended = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if ended.returncode != 0:
        sys.exit(f"{Path(command[0]).name} ended with {ended.returncode}:\n{ended.stdout}")
    return ended.stdout


def python_client(folder):
    """What openapi-python-client warns of: where, and its words."""
    said = ran(
        [
            Path(sys.executable).parent / "openapi-python-client",
            "generate",
            "--path",
            DOCUMENT,
            "--config",
            HERE / "openapi-python-client.yml",
            "--meta",
            "none",
            "--output-path",
            folder / "pitwall_client",
            "--overwrite",
        ],
        folder,
    )
    if "arning" in said and "WARNING " not in said:
        yield "openapi-python-client", "the document", said
    for block in said.split("WARNING ")[1:]:
        place = re.match(r"parsing (\S+ \S+)", block)
        yield "openapi-python-client", place[1] if place else "the document", " ".join(block.split())


def typescript_client(folder):
    """What openapi-typescript says besides that it is done."""
    tool = folder / "typescript/node_modules/openapi-typescript/bin/cli.js"
    said = ran([os.environ["NODE"], tool, DOCUMENT, "--output", folder / "typescript/schema.ts"], folder)
    for line in said.splitlines():
        if line.strip() and not line.startswith(("✨ openapi-typescript", "🚀 ")):
            yield "openapi-typescript", "the document", line.strip()


def faults(said, listed):
    """The warnings that are not listed, and the listed ones that nobody said."""
    unsaid = list(listed)
    for generator, place, words in said:
        for warning in listed:
            if (warning["generator"], warning["at"]) == (generator, place) and warning["says"] in words:
                if warning in unsaid:
                    unsaid.remove(warning)
                break
        else:
            yield f"{generator} warns of {place}: {words}"
    for warning in unsaid:
        yield f"{warning['generator']} does not warn of {warning['at']} any more: take it out of warnings.toml"


def main():
    folder = Path(sys.argv[1]).resolve()
    listed = tomllib.loads((HERE / "warnings.toml").read_text())["warning"]
    said = [*python_client(folder), *typescript_client(folder)]
    found = list(faults(said, listed))
    for fault in found:
        print(fault, file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
