"""many.py ADDRESS COUNT: so many connections at once, then a request on each; all must be answered, each by name."""

import socket
import sys
import time

address, count = sys.argv[1], int(sys.argv[2])
sockets = [socket.create_connection((address, 80), timeout=30) for _ in range(count)]
print("ready", flush=True)
# The test looks at the flows meanwhile.
time.sleep(4)
for s in sockets:
    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
seen = set()
for s in sockets:
    answer = b""
    while part := s.recv(4096):
        answer += part
    # "hello GATEWAY:PORT to ..."
    seen.add(answer.split(b"hello ")[1].split(b" ")[0])
print(f"distinct {len(seen)}")
