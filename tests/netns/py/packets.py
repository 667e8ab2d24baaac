"""Builds IPv4 packets, for the programs that send what a kernel would not."""

import socket
import struct


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def ipv4(source, target, protocol, payload):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(target))
    return head[:10] + struct.pack("!H", ~checksum(head) & 0xFFFF) + head[12:] + payload


def tcp(source, source_port, target, target_port, flags, payload=b"", partial=False, protocol=6):
    """A TCP packet; `partial`: with the pseudo-header's sum only, as NEEDS_CSUM wants it."""
    head = struct.pack("!HHIIBBHHH", source_port, target_port, 1, 0, 0x50, flags, 65535, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!HH", 6, 20 + len(payload))
    value = checksum(pseudo) if partial else ~checksum(pseudo + head + payload) & 0xFFFF
    return ipv4(source, target, protocol, head[:16] + struct.pack("!H", value) + head[18:] + payload)
