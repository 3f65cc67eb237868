"""What programs do with paramiko. Arguments: port, private key, known hosts, a folder to write in."""

import os
import signal
import socket
import sys
import threading

import paramiko

port, key, known_hosts, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]

# What never comes ends this.
signal.alarm(120)

client = paramiko.SSHClient()
client.load_host_keys(known_hosts)
client.set_missing_host_key_policy(paramiko.RejectPolicy())
client.connect("127.0.0.1", port, "root", key_filename=key, look_for_keys=False, allow_agent=False)
transport = client.get_transport()


def command_with_streams_and_status():
    stdin, stdout, stderr = client.exec_command("cat; echo to-stderr >&2; exit 7")
    sent = os.urandom(1 << 20)
    stdin.write(sent)
    stdin.channel.shutdown_write()
    assert stdout.read() == sent
    assert stderr.read() == b"to-stderr\n"
    assert stdout.channel.recv_exit_status() == 7


def terminal_that_changes_its_size():
    channel = transport.open_session()
    channel.get_pty("vt220", 80, 24)
    channel.exec_command("echo $TERM; stty size; read line; stty size")
    said = b""
    while b"24 80\r\n" not in said:
        said += channel.recv(1000)
    channel.resize_pty(120, 40)
    channel.sendall(b"go on\n")
    while piece := channel.recv(1000):
        said += piece
    assert said.startswith(b"vt220\r\n") and said.endswith(b"40 120\r\n"), said
    assert channel.recv_exit_status() == 0


def interactive_shell():
    channel = client.invoke_shell()
    channel.sendall(b"echo $((6 * 7))x; exit 3\n")
    said = b""
    while piece := channel.recv(1000):
        said += piece
    assert b"42x\r\n" in said, said
    assert channel.recv_exit_status() == 3


def files():
    with client.open_sftp() as sftp:
        here, there = os.path.join(folder, "here"), os.path.join(folder, "there")
        content = os.urandom(3_000_000)
        with open(here, "wb") as file:
            file.write(content)
        assert sftp.put(here, there).st_size == len(content)
        assert "there" in sftp.listdir(folder)
        with sftp.open(there, "rb") as file:
            file.prefetch()
            assert file.read() == content
        sftp.chmod(there, 0o640)
        assert sftp.stat(there).st_mode & 0o777 == 0o640
        sftp.posix_rename(there, here)
        try:
            sftp.stat(there)
            raise AssertionError("it was renamed")
        except FileNotFoundError:
            pass


def ports_in_both_directions():
    listener = socket.create_server(("127.0.0.1", 0))
    inside = listener.getsockname()
    stream = transport.open_channel("direct-tcpip", inside, ("127.0.0.1", 1))
    accepted, _ = listener.accept()
    stream.sendall(b"in")
    stream.shutdown_write()
    assert accepted.recv(10) == b"in" and accepted.recv(10) == b""
    accepted.sendall(b"out")
    accepted.close()
    assert stream.recv(10) == b"out" and stream.recv(10) == b""

    stream = transport.open_channel("direct-tcpip", inside, ("127.0.0.1", 1))
    accepted, _ = listener.accept()
    accepted.shutdown(socket.SHUT_WR)
    assert stream.recv(10) == b""
    stream.sendall(b"later")
    stream.close()
    assert accepted.recv(10) == b"later" and accepted.recv(10) == b""

    chosen = transport.request_port_forward("127.0.0.1", 0)
    outside = socket.create_connection(("127.0.0.1", chosen))
    channel = transport.accept(20)
    outside.sendall(b"hello")
    assert channel.recv(10) == b"hello"
    channel.close()
    assert outside.recv(10) == b""
    transport.cancel_port_forward("127.0.0.1", chosen)


def many_channels_of_many_threads():
    results = {}

    def work(number):
        _, stdout, _ = client.exec_command(f"echo {number}")
        results[number] = stdout.read()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: f"{number}\n".encode() for number in range(40)}


for test in (
    command_with_streams_and_status,
    terminal_that_changes_its_size,
    interactive_shell,
    files,
    ports_in_both_directions,
    many_channels_of_many_threads,
):
    print(test.__name__, flush=True)
    test()
transport.send_ignore()
client.close()
print("all well")
