"""hold.py ADDRESS: a connection that stays; says when it is reset."""

import socket
import sys
import time

s = socket.create_connection((sys.argv[1], 80), timeout=10)
request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
s.sendall(request)
assert s.recv(4096).startswith(b"HTTP/1.1 200")
host, port = s.getsockname()
print(f"ready {host}:{port}", flush=True)
s.settimeout(1)
end = time.time() + 60
while time.time() < end:
    try:
        s.sendall(request)
        if not s.recv(4096):
            print("closed", flush=True)
            break
    except TimeoutError:
        continue
    except ConnectionResetError:
        print("reset", flush=True)
        break
    time.sleep(0.2)
