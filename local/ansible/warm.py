"""Start Ansible's modules from a process that has imported boto3 and AWS's models already.

Half of what a call of a module costs is that import, again in each process. Here one process does
it once, and each module runs in a fork of it: with its own arguments, environment, folder and
files, as Python would have run it. Ansible is given a program that asks for the fork instead of an
interpreter; without the process, the program is the interpreter.
"""

import atexit
import contextlib
import dataclasses
import gc
import io
import marshal
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

_SERVICES = (
    "ec2", "iam", "rds", "lambda", "logs", "sts", "s3", "sns", "kms", "events", "cloudwatch",
    "codebuild", "codepipeline", "codecommit", "secretsmanager",
)  # fmt: skip
_STREAMS = (0, 1, 2)
_NOT_FLUSHED = 120  # Python's exit status where its output cannot be written
_LENGTH = 4  # bytes that say how long a request is

# What Ansible takes for an interpreter. It starts in 10 ms, as it imports nothing in Python that is
# not there already: `socket` would take as long again.
_PROGRAM = """#!{python} -IS
import _socket, array, marshal, os, sys
python, arguments = {python!r}, sys.argv[1:]
connection = _socket.socket(_socket.AF_UNIX)
try:
    if arguments and arguments[0].startswith("-"):
        raise OSError("not a file to run")
    connection.connect({socket!r})
except OSError:
    os.execv(python, [python, *arguments])
request = marshal.dumps((arguments, os.getcwd(), dict(os.environ)))
streams = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", {streams}))
connection.sendmsg([len(request).to_bytes({length}, "big")], [streams])
connection.sendall(request)
status = connection.recv(1)
os._exit(status[0] if status else 1)
"""


@contextlib.contextmanager
def warm(environment: Mapping[str, str]) -> Iterator[Path]:
    """Give a program that stands for this Python while the block runs.

    Args:
        environment: of the process that is forked; what runs in a fork has its caller's.

    """
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:  # nobody else may enter it
        path = Path(folder, "socket")
        program = Path(folder, "python")
        program.write_text(
            _PROGRAM.format(
                python=sys.executable, socket=str(path), length=_LENGTH, streams=[*_STREAMS]
            )
        )
        program.chmod(0o700)
        process = subprocess.Popen(
            [sys.executable, "-m", "local.ansible.warm", path],
            env=environment,
            stdin=subprocess.PIPE,  # it ends when we do
            start_new_session=True,
        )
        with process:  # which closes its standard input
            yield program


def _python_path(environment: Mapping[str, str]) -> list[str]:
    return [folder for folder in environment.get("PYTHONPATH", "").split(os.pathsep) if folder]


_OWN = _python_path(os.environ)  # what the warm process itself was given


@dataclasses.dataclass(frozen=True)
class _Request:
    """What a fork runs, and with what."""

    arguments: list[str]
    folder: str
    environment: dict[str, str]

    def run(self) -> None:
        """Do what Python does for a file on its command line, or without one for its input."""
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        file = Path(self.arguments[0]) if self.arguments else None
        sys.argv[:] = self.arguments or [""]
        given = _python_path(self.environment)
        others = [folder for folder in sys.path[1:] if folder not in _OWN]
        sys.path[:] = [str(file.resolve().parent) if file else "", *given, *others]
        for folder in given:
            if (customize := Path(folder, "sitecustomize.py")).is_file():
                runpy.run_path(str(customize))
                break
        if file:
            runpy.run_path(str(file), run_name="__main__")
            return
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        main.__file__ = "<stdin>"
        exec(sys.stdin.buffer.read(), main.__dict__)  # noqa: S102 (as Python would)

    def end(self) -> NoReturn:
        """Run, and end as Python does, but take nothing apart: most of it is the parent's.

        A module that leaves a file open has what it wrote in it all the same.
        """
        status = 0
        try:
            self.run()
        except SystemExit as asked:
            status = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
            if not isinstance(asked.code, int | None):
                sys.stderr.write(f"{asked.code}\n")
        except Exception:  # noqa: BLE001 (whatever it is, Python says it and ends)
            sys.excepthook(*sys.exc_info())
            status = 1
        threading._shutdown()  # type: ignore[attr-defined] # noqa: SLF001 (what Python does next)
        atexit._run_exitfuncs()  # noqa: SLF001
        if not _flushed():
            status = status or _NOT_FLUSHED
        os._exit(status & 0xFF)


def _flushed() -> bool:
    """Flush what this fork has open, and Python's own streams; return whether those could be."""
    kinds = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
    opened = [one for one in gc.get_objects() if issubclass(type(one), kinds)]
    opened.sort(key=lambda one: not isinstance(one, io.TextIOWrapper))  # into one of the others
    for stream in opened:
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    try:
        for own in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            if own and not own.closed:
                own.flush()
    except OSError:
        return False
    return True


class _Forks:
    """Listens, forks, and tells each client how its fork ended."""

    def __init__(self, path: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._selector = selectors.DefaultSelector()
        self._wake, wake = socket.socketpair()
        for end in (self._wake, wake):
            end.setblocking(False)
        signal.set_wakeup_fd(wake.fileno())
        self._woken = wake
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for readable in (self._listener, self._wake, sys.stdin):
            self._selector.register(readable, selectors.EVENT_READ)
        self._clients: dict[int, socket.socket] = {}

    def serve(self) -> _Request:
        """Serve until our starter ends; return in a fork, with what it has to do."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    client, _address = self._listener.accept()
                    if request := self._fork(client):
                        return request
                elif key.fileobj is sys.stdin:
                    sys.exit()
                elif key.fileobj is self._wake:
                    self._wake.recv(4096)
                    self._reap()
                else:
                    self._abandoned(key.data)

    def _fork(self, client: socket.socket) -> _Request | None:
        """Fork for a client; return what is asked for in the fork."""
        head, streams, _flags, _address = socket.recv_fds(client, _LENGTH, len(_STREAMS))
        if len(streams) < len(_STREAMS):  # it has gone
            client.close()
            return None
        with client.makefile("rb") as file:
            request = _Request(*marshal.loads(file.read(int.from_bytes(head, "big"))))  # noqa: S302
        pid = os.fork()
        if pid:
            for stream in streams:
                os.close(stream)
            self._clients[pid] = client
            self._selector.register(client, selectors.EVENT_READ, pid)
            return None
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for stream, number in zip(streams, _STREAMS, strict=True):
            os.dup2(stream, number)
            os.close(stream)
        self._selector.close()
        for end in (self._listener, self._wake, self._woken, client, *self._clients.values()):
            end.close()
        return request

    def _reap(self) -> None:
        """Tell the clients of forks that have ended."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                client = self._clients.pop(ended[0])
                code = os.waitstatus_to_exitcode(ended[1])
                with contextlib.suppress(KeyError):  # it was abandoned
                    self._selector.unregister(client)
                with contextlib.suppress(OSError):
                    client.sendall(bytes([code if code >= 0 else 128 - code]))
                client.close()

    def _abandoned(self, pid: int) -> None:
        """End a fork whose client was killed, and what came of it."""
        for kill in (os.kill, os.killpg):  # it may not yet lead a group
            with contextlib.suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)
        self._selector.unregister(self._clients[pid])


def _import() -> None:
    """Import what every module does, and have AWS's models read and looked for once.

    Of Ansible that is its own part: each module comes with a copy of what is installed here. What a
    collection adds is imported in the fork, from what was sent.
    """
    import encodings.cp437  # noqa: F401, PLC0415 (of names in a zip)

    import ansible.module_utils.basic  # noqa: PLC0415 (the program itself has no need of it)
    import ansible.module_utils.common.dict_transformations  # noqa: F401, PLC0415
    import boto3  # noqa: PLC0415
    import packaging.version  # noqa: F401, PLC0415

    from local.ansible.kept_models import keep  # noqa: PLC0415

    keep()
    for service in _SERVICES:
        boto3.client(  # type: ignore[call-overload]
            service,
            region_name="eu-central-1",
            aws_access_key_id="none",
            aws_secret_access_key="none",  # noqa: S106
        )
    boto3.DEFAULT_SESSION = None


if __name__ == "__main__":
    forks = _Forks(sys.argv[1])
    _import()
    gc.freeze()
    forks.serve().end()
