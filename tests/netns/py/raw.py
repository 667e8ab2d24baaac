"""raw.py SOURCE PORT TARGET PORT FLAGS...: sends TCP packets with these addresses, whosever they are."""

import socket
import sys

from packets import tcp

source, source_port, target, target_port = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
FLAGS = {"syn": 2, "rst": 4, "ack": 16, "synack": 18, "data": 24}
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for name in sys.argv[5:]:
    payload = b"intruder" if name == "data" else b""
    s.sendto(tcp(source, source_port, target, target_port, FLAGS[name], payload), (target, 0))
print("sent")
