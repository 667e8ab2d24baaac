"""interleaved.py SOURCE TARGET PORT NAMESPACE NAMESPACE: in both namespaces a host with the address SOURCE sends datagrams in
fragments, all with one IP identification and from one port, their fragments in turn. Each must get its own bytes echoed."""

import ctypes
import os
import socket
import struct
import sys

from packets import checksum, ipv4

ETH_P_IP, CLONE_NEWNET, OWN_PORT, LENGTH = 0x0800, 0x40000000, 5000, 5000
source, target, port = sys.argv[1], sys.argv[2], int(sys.argv[3])


class Host:
    def __init__(self, namespace):
        fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
        assert ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        os.close(fd)
        # Past the kernel's own fragmentation.
        self.link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
        self.answers = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.answers.bind((source, OWN_PORT))
        self.answers.settimeout(10)

    def send(self, fragment):
        self.link.sendto(fragment, ("eni0", ETH_P_IP))

    def answer(self):
        return self.answers.recv(65535).partition(b" ")[2]


def fragments(payload, identification):
    length = 8 + len(payload)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!HH", 17, length)
    head = struct.pack("!HHHH", OWN_PORT, port, length, 0)
    value = ~checksum(pseudo + head + payload) & 0xFFFF or 0xFFFF
    datagram = head[:6] + struct.pack("!H", value) + payload
    for start in range(0, length, 1480):
        packet = bytearray(ipv4(source, target, 17, datagram[start:start + 1480]))
        more = 0x2000 if start + 1480 < length else 0
        packet[4:8] = struct.pack("!HH", identification, more | start // 8)
        packet[10:12] = bytes(2)
        packet[10:12] = struct.pack("!H", ~checksum(bytes(packet[:20])) & 0xFFFF)
        yield bytes(packet)


hosts = [Host(namespace) for namespace in sys.argv[4:6]]
for number in range(200):
    payloads = [bytes([number, which]) * (LENGTH // 2) for which in range(2)]
    for turn in zip(*(fragments(payload, 7) for payload in payloads)):
        for host, fragment in zip(hosts, turn):
            host.send(fragment)
    for host, payload in zip(hosts, payloads):
        assert host.answer() == payload, f"round {number}"
# One leaves the beginning of a datagram behind, and the other's has the same identification.
for number in range(200):
    hosts[0].send(next(fragments(b"x" * LENGTH, 1000 + number)))
    payload = bytes([number]) * LENGTH
    for fragment in fragments(payload, 1000 + number):
        hosts[1].send(fragment)
    assert hosts[1].answer() == payload, f"round {number}, beside half a datagram"
print("apart")
