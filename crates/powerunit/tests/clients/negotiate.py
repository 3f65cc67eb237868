"""Connects with asyncssh and one key exchange, runs a command, and prints what was agreed on.

Usage: negotiate.py PORT KEY KNOWN_HOSTS KEX
"""

import asyncio
import sys

import asyncssh


async def main(port: str, key: str, known_hosts: str, kex: str) -> None:
    async with asyncssh.connect(
        "127.0.0.1",
        int(port),
        username="fred",
        client_keys=[key],
        known_hosts=known_hosts,
        config=None,
        agent_path=None,
        kex_algs=[kex],
    ) as connection:
        result = await connection.run("echo in", check=True)
        print(connection.get_extra_info("kex_alg", kex), result.stdout.strip())


asyncio.run(main(*sys.argv[1:]))
