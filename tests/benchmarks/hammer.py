"""A client that asks as fast as it can, in a process of its own: `python -m tests.benchmarks.hammer PORT SECONDS`.

The paths come by standard input, a line each, and are asked for in turn over many connections, one request at a time
on each. Every answer must have the length of the first one. Prints a JSON object: requests, seconds, p99_ms.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from itertools import cycle

_CONNECTIONS = 64


def main() -> None:
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    head = f"Host: 127.0.0.1\r\nUser-Agent: {agent}\r\nAccept: image/*\r\nAccept-Encoding: gzip\r\n\r\n"
    requests = cycle([f"GET {path.strip()} HTTP/1.1\r\n{head}".encode() for path in sys.stdin])
    length = _length_of_an_answer(port, next(requests))
    print(json.dumps(_hammer(port, seconds, requests, length)))


def _length_of_an_answer(port: int, request: bytes) -> int:
    with socket.create_connection(("127.0.0.1", port)) as asking:
        asking.sendall(request)
        time.sleep(0.3)
        answer = asking.recv(65536)
        assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 302")), answer[:200]
        return len(answer)


def _hammer(port: int, seconds: float, requests: cycle[bytes], length: int) -> dict[str, float]:
    poll = select.epoll()
    asking: dict[int, socket.socket] = {}
    asked_at: dict[int, float] = {}
    got: dict[int, int] = {}
    for _ in range(_CONNECTIONS):
        one = socket.create_connection(("127.0.0.1", port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asking[one.fileno()] = one
        poll.register(one.fileno(), select.EPOLLIN)
    began = time.perf_counter()
    for number, one in asking.items():
        asked_at[number], got[number] = time.perf_counter(), 0
        one.sendall(next(requests))
    times: list[float] = []
    while (now := time.perf_counter()) - began < seconds:
        for number, _ in poll.poll(1):
            read = len(asking[number].recv(65536))
            assert read, "the server closed a connection"
            got[number] += read
            if got[number] < length:
                continue
            assert got[number] == length, "answers differ in length"
            now = time.perf_counter()
            times.append(now - asked_at[number])
            asked_at[number], got[number] = now, 0
            asking[number].sendall(next(requests))
    times.sort()
    return {"requests": len(times), "seconds": now - began, "p99_ms": times[len(times) * 99 // 100] * 1000}


if __name__ == "__main__":
    main()
