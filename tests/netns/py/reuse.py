"""reuse.py ADDRESS PORT COUNT: one connection after another from the same source port; the server closes first."""

import errno
import socket
import sys
import time

address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for _ in range(count):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", port))
    s.settimeout(10)
    for _ in range(200):
        try:
            s.connect((address, 80))
            break
        except OSError as error:
            # The last connection's final ACK is still on its way.
            assert error.errno == errno.EADDRNOTAVAIL, error
            time.sleep(0.005)
    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answer = b""
    while part := s.recv(4096):
        answer += part
    assert b"hello " in answer, answer
    s.close()
print(f"answered {count}")
