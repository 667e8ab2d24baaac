"""Sends datagrams to a resolver that are no queries: cut off, of random bytes, with lies in every field.

Usage: nonsense.py ADDRESS COUNT
"""

import random
import socket
import struct
import sys

address, count = sys.argv[1], int(sys.argv[2])
random.seed(7)
good = struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + b"\x03web\x07example\x00" + struct.pack("!2H", 1, 1)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.connect((address, 53))
    for number in range(count):
        query = bytearray(good)
        match number % 4:
            case 0:
                del query[random.randrange(len(query)):]
            case 1:
                for _ in range(random.randint(1, 8)):
                    query[random.randrange(len(query))] = random.randrange(256)
            case 2:
                query = bytearray(random.randbytes(random.randrange(512)))
            case 3:
                query[12:] = b"\xc0\x0c" * random.randint(1, 100)
        asking.send(query)
print("sent", count)
