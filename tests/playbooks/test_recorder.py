"""The record of requests is read while playbooks of other environments append to it."""

import fcntl
import json
import threading
from pathlib import Path

from tests.playbooks.plays import Request, read

MADE = Request("dev", "site", "network", "ec2", "CreateVpc", {})


def test_a_line_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    record = tmp_path / "requests.jsonl"
    line = json.dumps(vars(MADE))
    found: list[Request] = []
    reader = threading.Thread(target=lambda: found.extend(read(record)))
    with record.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(line[:9])
        file.flush()
        reader.start()
        file.write(f"{line[9:]}\n")
    reader.join()
    assert found == [MADE]


def test_nothing_was_requested_before_there_is_a_record(tmp_path: Path) -> None:
    assert read(tmp_path / "requests.jsonl") == []
