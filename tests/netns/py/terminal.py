"""terminal.py COMMAND...: runs it on a terminal of its own, and closes that once it says Ready."""

import os
import pty
import select
import sys
import time

pid, master = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
said = b""
while b"Ready" not in said:
    ready, _, _ = select.select([master], [], [], 20)
    assert ready, said
    said += os.read(master, 4096)
os.close(master)
end = time.time() + 15
while time.time() < end:
    if os.waitpid(pid, os.WNOHANG)[0]:
        print("ended", flush=True)
        sys.exit()
    time.sleep(0.05)
os.kill(pid, 9)
sys.exit("it does not end")
