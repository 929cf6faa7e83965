"""Run a command and say as JSON what it took: `python launch.py LOG SECONDS COMMAND …`.

A process of its own, as small as can be: what a child is said to hold at most begins with what
its parent holds.
"""

import json
import os
import signal
import subprocess
import sys
import time

log, patience, *command = sys.argv[1:]
with open(log, "wb") as said:  # noqa: PTH123 - without pathlib, to stay small
    began = time.perf_counter()
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
    )
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(child.pid, signal.SIGKILL))
    signal.alarm(int(patience))
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - began
print(
    json.dumps(
        {
            "code": os.waitstatus_to_exitcode(status),
            "wall": wall,
            "client": usage.ru_utime + usage.ru_stime,
            "megabytes": usage.ru_maxrss / 1024,
        }
    )
)
