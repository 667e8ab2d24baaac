"""greeted.py ADDRESS GREETING COUNT BYTES: COUNT connections, one after the other; each waits for the GREETING, sends BYTES,
closes its side, and reads what is left. All of it must be right."""

import hashlib
import os
import socket
import sys

address, greeting, count, length = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3]), int(sys.argv[4])
for number in range(count):
    s = socket.create_connection((address, 80), timeout=60)
    got = b""
    while len(got) < len(greeting):
        more = s.recv(len(greeting) - len(got))
        assert more, f"connection {number} ended before its greeting: {got}"
        got += more
    assert got == greeting, got
    data = os.urandom(length)
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    rest = b""
    while more := s.recv(1 << 16):
        rest += more
    expected = f"{length} {hashlib.sha256(data).hexdigest()}\n".encode()
    assert rest == expected, (number, rest)
print("all")
