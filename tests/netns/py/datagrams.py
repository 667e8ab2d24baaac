"""datagrams.py serve PORT: answers each datagram with its sha256 and as many bytes as it asks for.
datagrams.py ask ADDRESS PORT SIZE:ANSWER...: sends datagrams of these sizes, each of which must arrive intact and bring
an intact answer of that size."""

import errno
import hashlib
import os
import socket
import sys

SIZE = 8  # of the number at the beginning of a question
SUM = 32


def serve(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("0.0.0.0", port))
    print("ready", flush=True)
    while True:
        question, peer = s.recvfrom(65535)
        filling = os.urandom(int(question[:SIZE]) - 2 * SUM)
        sums = hashlib.sha256(question).digest() + hashlib.sha256(filling).digest()
        s.sendto(sums + filling, peer)


def exchange(s, question):
    """Sends again where one side's kernel has only now learned the path's MTU: from then on it fragments."""
    for _ in range(5):
        try:
            s.send(question)
            return s.recv(65535)
        except TimeoutError:
            pass
        except OSError as error:
            assert error.errno == errno.EMSGSIZE, error
    raise TimeoutError(f"{len(question)} bytes")


def ask(address, port, pairs):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(4)
    s.connect((address, port))
    for pair in pairs:
        size, wanted = map(int, pair.split(":"))
        question = b"%08d" % wanted + os.urandom(size - SIZE)
        answer = exchange(s, question)
        arrived, sent, filling = answer[:SUM], answer[SUM:2 * SUM], answer[2 * SUM:]
        assert arrived == hashlib.sha256(question).digest(), f"{pair}: the question"
        assert sent == hashlib.sha256(filling).digest() and len(answer) == wanted, f"{pair}: {len(answer)} bytes"
    print("intact")


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    ask(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
