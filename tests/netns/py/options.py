"""Talks with packets that ask for record route and for timestamps with addresses.

options.py serve PORT: answers datagrams. options.py ADDRESS PORT: fetches a page by HTTP and asks the datagram server.
"""

import socket
import sys

# Record route with four slots; timestamps with addresses, two slots; end of list (RFC 791, 3.1).
OPTIONS = bytes([7, 19, 4]) + bytes(16) + bytes([68, 20, 5, 1]) + bytes(16) + bytes(1)


def asking(kind):
    s = socket.socket(socket.AF_INET, kind)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, OPTIONS)
    s.settimeout(20)
    return s


address, port = sys.argv[1], int(sys.argv[2])
if address == "serve":
    s = asking(socket.SOCK_DGRAM)
    s.bind(("0.0.0.0", port))
    s.settimeout(None)
    print("ready", flush=True)
    while True:
        data, peer = s.recvfrom(65535)
        s.sendto(data, peer)
s = asking(socket.SOCK_STREAM)
s.connect((address, 80))
s.sendall(b"GET / HTTP/1.0\r\n\r\n")
answer = b""
while part := s.recv(4096):
    answer += part
assert b"hello " in answer, answer
s = asking(socket.SOCK_DGRAM)
s.sendto(b"hello", (address, port))
assert s.recv(100) == b"hello"
print("answered")
