"""A client of Pitwall's streams, written from docs/streams.md alone.

    TOKEN=… streams.py URL VM

The VM at the far end is that of tests/far: its programs are cat, both, tell, kill, deaf and missing.
"""

import asyncio
import base64
import io
import json
import os
import sys
import tarfile
import urllib.error
import urllib.request

import websockets

URL, VM = sys.argv[1], sys.argv[2]
AUTHORIZATION = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
STDIN, STDOUT, STDERR, CONTROL = 0, 1, 2, 3


def request(method, path, body=None, kind=None):
    headers = dict(AUTHORIZATION)
    if kind:
        headers["Content-Type"] = kind
    asked = urllib.request.Request(URL + path, data=body, headers=headers, method=method)
    return urllib.request.urlopen(asked, timeout=30)


def logs(query=""):
    lines, seen = [], set()
    with request("GET", f"/v1/vms/{VM}/logs{query}") as answer:
        for record in map(json.loads, answer):
            seen.add(record["type"])
            if record["type"] != "line":
                continue
            if "line" in record:
                lines.append((record["stream"], record["line"].encode()))
            else:
                lines.append((record["stream"], base64.b64decode(record["line_base64"])))
    return lines, seen


def socket(path):
    return websockets.connect(URL.replace("http", "ws", 1) + path, additional_headers=AUTHORIZATION)


def program(*command, **more):
    body = json.dumps({"command": command, **more}).encode()
    with request("POST", f"/v1/vms/{VM}/exec", body, "application/json") as answer:
        assert answer.status == 201
        return json.load(answer)["path"]


def control(**said):
    return bytes([CONTROL]) + json.dumps(said).encode()


class Heard:
    def __init__(self):
        self.out, self.err, self.end = b"", b"", None

    def take(self, message):
        channel, rest = message[0], message[1:]
        if channel == STDOUT:
            self.out += rest
        elif channel == STDERR:
            self.err += rest
        elif channel == CONTROL:
            said = json.loads(rest)
            if said["type"] in ("exit", "done", "error"):
                self.end = said


async def hear(connection):
    heard = Heard()
    async for message in connection:
        heard.take(message)
    assert heard.end, "the connection was lost"
    assert connection.close_code == 1000
    return heard


async def until(connection, text):
    heard = Heard()
    while text not in heard.out:
        heard.take(await asyncio.wait_for(connection.recv(), 30))


async def programs():
    sent = bytes(range(256)) * 8192
    async with socket(program("cat")) as connection:

        async def type_it():
            for start in range(0, len(sent), 1 << 16):
                await connection.send(bytes([STDIN]) + sent[start : start + (1 << 16)])
            await connection.send(control(type="eof"))

        typing = asyncio.create_task(type_it())
        heard = await hear(connection)
        await typing
        assert heard.out == sent
        assert (heard.end["exit_code"], heard.end["signal"]) == (0, None)
    async with socket(program("both")) as connection:
        heard = await hear(connection)
        assert (heard.out, heard.err, heard.end["exit_code"]) == (b"out\n", b"err\n", 3)
    async with socket(program("kill", "9")) as connection:
        heard = await hear(connection)
        assert (heard.end["exit_code"], heard.end["signal"]) == (None, 9)
    async with socket(program("missing")) as connection:
        heard = await hear(connection)
        assert (heard.end["type"], heard.end["code"]) == ("error", "not_found")
    terminal = {"columns": 80, "rows": 24}
    async with socket(program("tell", terminal=terminal)) as connection:
        await until(connection, b"columns: 80, rows: 24")
        await connection.send(control(type="resize", columns=120, rows=40))
        await until(connection, b"columns: 120, rows: 40")
        await connection.send(control(type="signal", signal=15))
        await until(connection, b"Signal(15)")
        await connection.send(bytes([STDIN]) + b"q")
        assert (await hear(connection)).end["exit_code"] == 0
    async with socket(program("deaf")) as connection:
        await connection.close()


async def console():
    async with socket(f"/v1/vms/{VM}/console") as connection:
        await until(connection, b"the last line\r\n")
        await connection.send(bytes([STDIN]) + b"help\r")
        await until(connection, b"help\r")
    async with socket(f"/v1/vms/{VM}/console?read_only=true") as connection:
        await until(connection, b"the last line\r\n")


def files():
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("from/python.txt")
        entry.size = 6
        tar.addfile(entry, io.BytesIO(b"snakes"))
    path = f"/v1/vms/{VM}/files?path=/srv"
    with request("PUT", path, archive.getvalue(), "application/x-tar") as answer:
        assert answer.status == 204
    with request("GET", path) as answer:
        with tarfile.open(fileobj=answer, mode="r|") as tar:
            held = {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}
    assert held == {"srv/from/python.txt": b"snakes"}, held
    try:
        request("GET", f"/v1/vms/{VM}/files?path=/nothing")
        raise AssertionError("there is nothing")
    except urllib.error.HTTPError as refused:
        assert refused.code == 404
        assert json.load(refused)["code"] == "not_found"


def main():
    lines, seen = logs()
    assert lines == [("stdout", b"one"), ("stderr", b"two"), ("stdout", b"\xff3")], lines
    assert {"line", "gap", "boot"} <= seen
    assert logs("?tail=1")[0] == lines[-1:]
    asyncio.run(programs())
    asyncio.run(console())
    files()
    print("all well")


main()
