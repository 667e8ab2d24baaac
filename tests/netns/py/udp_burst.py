"""udp_burst.py ADDRESS PORT COUNT: COUNT numbered datagrams of 64 bytes, as fast as they go."""

import socket
import sys

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 32, 16 << 20)  # SO_SNDBUFFORCE
s.connect((sys.argv[1], int(sys.argv[2])))
for number in range(int(sys.argv[3])):
    s.send(b"%08d" % number * 8)
