"""What programs do with asyncssh. Arguments: port, private key, known hosts, a folder to write in."""

import asyncio
import os
import sys

import asyncssh

port, key, known_hosts, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]


def connect(**options):
    return asyncssh.connect(
        "127.0.0.1",
        port,
        username="root",
        client_keys=[key],
        known_hosts=known_hosts,
        config=None,
        agent_path=None,
        **options,
    )


async def a_signal_that_ended_a_program_is_named(connection):
    result = await connection.run("kill -USR1 $$")
    assert result.exit_status == -1 and result.exit_signal[0] == "USR1", result
    result = await connection.run("kill -KILL $$")
    assert result.exit_signal[0] == "KILL", result


async def signals_reach_the_program(connection):
    process = await connection.create_process("trap 'echo caught; exit 9' INT; echo armed; while :; do sleep 0.05; done")
    assert await process.stdout.readline() == "armed\n"
    process.send_signal("INT")
    result = await process.wait()
    assert result.exit_status == 9 and result.stdout == "caught\n", result


async def streams_are_binary_and_end_one_way_at_a_time(connection):
    sent = os.urandom(5_000_000)
    result = await connection.run("cat; echo end >&2", input=sent, encoding=None)
    assert result.stdout == sent and result.stderr == b"end\n"


async def many_sessions_at_once(connection):
    results = await asyncio.gather(*(connection.run(f"sleep 0.1; echo {number}") for number in range(50)))
    assert [result.stdout for result in results] == [f"{number}\n" for number in range(50)]


async def language_is_taken_and_nothing_dangerous(connection):
    result = await connection.run(
        "echo $LANG $LC_TIME $LD_PRELOAD", env={"LANG": "C.UTF-8", "LC_TIME": "C", "LD_PRELOAD": "/x"}
    )
    assert result.stdout == "C.UTF-8 C\n", result


async def answer(reader, writer):
    writer.write(await reader.read(-1))
    writer.write_eof()
    writer.close()


async def exchange(streams, text):
    reader, writer = await streams
    writer.write(text)
    writer.write_eof()
    assert await reader.read(-1) == text
    writer.close()


async def ports_and_paths_in_both_directions(connection):
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    to = server.sockets[0].getsockname()[1]
    inward = await connection.forward_local_port("127.0.0.1", 0, "localhost", to)
    outward = await connection.forward_remote_port("localhost", 0, "127.0.0.1", to)
    for listener in (inward, outward):
        await asyncio.gather(
            *(exchange(asyncio.open_connection("127.0.0.1", listener.get_port()), b"x" * 100_000) for _ in range(20))
        )
        listener.close()
        await listener.wait_closed()
    target, near, far = (os.path.join(folder, name) for name in ("target", "near", "far"))
    await asyncio.start_unix_server(answer, target)
    inward = await connection.forward_local_path(near, target)
    outward = await connection.forward_remote_path(far, target)
    for path in (near, far):
        await exchange(asyncio.open_unix_connection(path), b"through a path")
    outward.close()
    await outward.wait_closed()
    await connection.run("true")
    assert not os.path.exists(far)
    server.close()


async def a_target_that_does_not_exist_is_an_error(connection):
    try:
        await connection.open_unix_connection(os.path.join(folder, "nobody"))
        raise AssertionError("nobody is there")
    except asyncssh.ChannelOpenError as error:
        assert error.code == asyncssh.OPEN_CONNECT_FAILED, error


async def a_client_may_ask_whether_we_live(_):
    async with connect(keepalive_interval=0.1, keepalive_count_max=2) as connection:
        result = await connection.run("sleep 1; echo alive")
        assert result.stdout == "alive\n"


async def keys_may_be_exchanged_again_under_load(_):
    async with connect(rekey_bytes=1_000_000) as connection:
        sent = os.urandom(8_000_000)
        result = await connection.run("cat", input=sent, encoding=None)
        assert result.stdout == sent


async def main():
    async with connect() as connection:
        for test in (
            a_signal_that_ended_a_program_is_named,
            signals_reach_the_program,
            streams_are_binary_and_end_one_way_at_a_time,
            many_sessions_at_once,
            language_is_taken_and_nothing_dangerous,
            ports_and_paths_in_both_directions,
            a_target_that_does_not_exist_is_an_error,
            a_client_may_ask_whether_we_live,
            keys_may_be_exchanged_again_under_load,
        ):
            print(test.__name__, flush=True)
            await asyncio.wait_for(test(connection), 60)


asyncio.run(main())
print("all well")
