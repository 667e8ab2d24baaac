"""raw.py SOURCE PORT TARGET PORT FLAGS...: sends TCP packets with these addresses out of eni0, whosever they are."""

import socket
import sys

from packets import tcp

source, source_port, target, target_port = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
FLAGS = {"syn": 2, "rst": 4, "ack": 16, "synack": 18, "data": 24}
ETH_P_IP = 0x0800
# Past the kernel's routing: a packet to an address of its own would go over lo.
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
for name in sys.argv[5:]:
    payload = b"intruder" if name == "data" else b""
    s.sendto(tcp(source, source_port, target, target_port, FLAGS[name], payload), ("eni0", ETH_P_IP))
print("sent")
