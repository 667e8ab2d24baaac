"""udp_client.py ADDRESS PORT: datagrams of many sizes, each must come back whole; prints whom the target saw."""

import os
import socket
import sys

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.connect((sys.argv[1], int(sys.argv[2])))
seen = set()
for size in (0, 1, 2, 3, 17, 512, 1400, 1473, 4000, 8000):
    data = os.urandom(size)
    s.send(data)
    peer, _, echo = s.recv(65535).partition(b" ")
    assert echo == data, f"{size} bytes came back as {len(echo)}"
    seen.add(peer.decode())
print("seen", *seen)
