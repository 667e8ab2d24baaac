"""proxied.py PORT [GREETING]: takes connections that begin with a PROXY header, and prints what it says.

With a GREETING the server speaks first. Then it reads to the end, says how much it was and what sum it had, and closes.
Written after haproxy's doc/proxy-protocol.txt.
"""

import hashlib
import socket
import struct
import sys
import threading

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def exactly(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise EOFError(f"{len(data)} of {count} bytes")
        data += more
    return data


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def header(connection):
    head = exactly(connection, 16)
    assert head[:12] == SIGNATURE, head
    assert head[12:14] == b"\x21\x11", head
    (length,) = struct.unpack("!H", head[14:])
    rest = exactly(connection, length)
    source, target, source_port, target_port = struct.unpack("!4s4sHH", rest[:12])
    endpoint, whole, at = "no endpoint", bytearray(head + rest), 12
    while at < length:
        kind, size = struct.unpack("!BH", rest[at : at + 3])
        value = rest[at + 3 : at + 3 + size]
        if kind == 0xEA and value[0] == 1:
            endpoint = value[1:].decode()
        if kind == 3:
            whole[16 + at + 3 : 16 + at + 7] = bytes(4)
            expected = value
        at += 3 + size
    assert struct.pack("!I", crc32c(whole)) == expected, "checksum"
    return f"{socket.inet_ntoa(source)}:{source_port} {socket.inet_ntoa(target)}:{target_port} {endpoint}"


def serve(connection):
    try:
        print(header(connection), flush=True)
        connection.sendall(greeting)
        sum, count = hashlib.sha256(), 0
        while data := connection.recv(1 << 16):
            sum.update(data)
            count += len(data)
        connection.sendall(f"{count} {sum.hexdigest()}\n".encode())
        connection.close()
    except (OSError, EOFError) as error:
        print(f"{type(error).__name__}: {error}", flush=True)


greeting = " ".join(sys.argv[2:]).encode()
listener = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=1024)
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
