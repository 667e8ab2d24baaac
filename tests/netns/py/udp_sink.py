"""udp_sink.py PORT COUNT: takes COUNT numbered datagrams; prints whether they came whole and in order."""

import socket
import sys

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
s.bind(("0.0.0.0", int(sys.argv[1])))
s.settimeout(20)
print("ready", flush=True)
try:
    for number in range(int(sys.argv[2])):
        data = s.recv(65535)
        expected = b"%08d" % number * 8
        if data != expected:
            print(f"{data!r} instead of {expected!r}", flush=True)
            break
    else:
        print("all", flush=True)
except TimeoutError:
    print(f"only {number}", flush=True)
