"""udp_echo.py PORT: answers every datagram with itself and whom it saw."""

import socket
import sys

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", int(sys.argv[1])))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(65535)
    s.sendto(f"{peer[0]} ".encode() + data, peer)
