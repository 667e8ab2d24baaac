"""udp_sizes.py serve PORT | ask ADDRESS PORT SIZE...: a datagram of each size, for an ask of a few bytes.

`ask` prints how many of them it had to ask for a second time, because no answer came."""

import hashlib
import socket
import sys


def content(size):
    block = hashlib.sha256(str(size).encode()).digest()
    return (block * (size // len(block) + 1))[:size]


s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
if sys.argv[1] == "serve":
    s.bind(("0.0.0.0", int(sys.argv[2])))
    print("ready", flush=True)
    while True:
        size, peer = s.recvfrom(65535)
        s.sendto(content(int(size)), peer)
s.settimeout(5)
s.connect((sys.argv[2], int(sys.argv[3])))
lost = 0
for size in map(int, sys.argv[4:]):
    for attempt in range(2):
        s.send(str(size).encode())
        try:
            data = s.recv(65535)
        except TimeoutError:
            lost += 1
            continue
        assert data == content(size), f"{size} bytes came as {len(data)}"
        break
    else:
        sys.exit(f"{size} bytes did not come")
print("lost", lost)
