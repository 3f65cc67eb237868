"""Tokens from where the judges' server gives them out.

    tokens.py WHO      prints one
"""

import os
import socket
import sys


def token_of(who):
    """A new token of the admin or the member."""
    host, _, port = os.environ["PITWALL_TOKENS"].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as server:
        server.sendall(f"{who}\n".encode())
        token = server.makefile().read()
    if not token:
        raise ConnectionError(f"there is no token for {who}")
    return token


if __name__ == "__main__":
    print(token_of(sys.argv[1]))
