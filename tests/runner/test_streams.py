"""What libraries write to standard error by themselves, and who gives it back."""

import os
import threading

import pytest

from runner.streams import Overheard
from tests.runner.project import Project


@pytest.mark.since(17)  # which has triggers at the login
def test_what_the_server_says_at_a_login_reaches_no_terminal_as_it_is(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    project.query(r"""
        create function greet() returns event_trigger language plpgsql as
        $$ begin raise warning E'wet \x1b[31mpaint'; end $$;
        create event trigger greet on login execute function greet();
    """)
    code, _, said = project.text("status")
    assert code == 0
    assert "at the login the server says: WARNING:  wet �[31mpaint" in said
    assert not capfd.readouterr().err


def test_standard_error_is_given_back_by_the_last_of_several(
    capfd: pytest.CaptureFixture[str],
) -> None:
    inside, leave = threading.Event(), threading.Event()
    heard = []

    def work() -> None:
        with Overheard() as login:
            inside.set()
            leave.wait()
        heard.append(login.text)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    with Overheard() as first:
        os.write(2, b"one")
    os.write(2, b"two")
    leave.set()
    thread.join()
    os.write(2, b"three")
    assert (first.text, heard) == ("one", ["two"])
    assert capfd.readouterr().err == "three"


def test_standard_error_takes_more_than_anybody_keeps(capfd: pytest.CaptureFixture[str]) -> None:
    with Overheard() as login:
        for _ in range(300):
            try:
                os.write(2, b"x" * 1000)
            except BlockingIOError:
                break
    assert 0 < len(login.text) < 300_000
    os.write(2, b"back")
    assert capfd.readouterr().err == "back"


def test_closed_standard_error_is_none_to_give_back() -> None:
    kept = os.dup(2)
    os.close(2)
    try:
        with Overheard() as login:
            pass
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    assert login.text == ""
