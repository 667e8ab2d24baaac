"""forge.py SOURCE TARGET KIND: a TCP packet out of eni0 with a vnet header of KIND; says if the kernel took it."""

import socket
import struct
import sys

from packets import tcp

SOL_PACKET, PACKET_VNET_HDR, ETH_P_IP = 263, 15, 0x0800
NEEDS_CSUM, TCPV4, UDP_L4 = 1, 1, 5
SYN, ACK = 2, 16

# flags, gso_type, hdr_len, gso_size, csum_start, csum_offset; TCP flags; bytes of payload
KINDS = {
    "honest": ((NEEDS_CSUM, 0, 40, 0, 20, 16), SYN, 0),
    "checksum_into_the_port": ((NEEDS_CSUM, 0, 40, 0, 20, 2), SYN, 0),
    "checksum_at_udps_place": ((NEEDS_CSUM, 0, 40, 0, 20, 6), SYN, 0),
    "checksum_from_the_wrong_place": ((NEEDS_CSUM, 0, 44, 0, 24, 16), ACK, 100),
    "checksum_over_the_ip_header": ((NEEDS_CSUM, 0, 40, 0, 0, 16), SYN, 0),
    "segments_of_one_byte": ((NEEDS_CSUM, TCPV4, 40, 1, 20, 16), ACK, 256),
    "segments_larger_than_the_path": ((NEEDS_CSUM, TCPV4, 40, 20000, 20, 16), ACK, 60000),
    "udp_segments_of_tcp": ((NEEDS_CSUM, UDP_L4, 40, 1000, 20, 16), ACK, 4000),
    "tcp_segments_of_udp": ((NEEDS_CSUM, TCPV4, 40, 1000, 20, 16), ACK, 4000),
    "tcp_segments_into_the_port": ((NEEDS_CSUM, TCPV4, 40, 1000, 20, 2), ACK, 4000),
}

source, target, kind = sys.argv[1:]
header, flags, length = KINDS[kind]
# A source port per kind, so that one that gets through is not mistaken for another.
port = 2000 + list(KINDS).index(kind)
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
s.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
packet = tcp(source, port, target, 80, flags, bytes(length), partial=True,
             protocol=17 if kind == "tcp_segments_of_udp" else 6)
try:
    s.sendto(struct.pack("=BBHHHH", *header) + packet, ("eni0", ETH_P_IP))
    print(f"sent {port}")
except OSError as error:
    print(f"refused {error}")
