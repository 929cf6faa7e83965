"""A run of ansible-playbook, and the environments it runs on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
ACCOUNTS = {"dev": "111122223333", "prod": "444455556666", "local": "000000000000"}


@dataclass(frozen=True)
class Play:
    """One run of ansible-playbook."""

    status: int
    output: str

    def count(self, what: str) -> int:
        """Return a number of the recap, added up over its hosts."""
        recap = self.output.rpartition("PLAY RECAP")[2]
        return sum(int(w.partition("=")[2]) for w in recap.split() if w.startswith(f"{what}="))

    @property
    def message(self) -> str:
        """The output as one line, however it was wrapped."""
        return " ".join(self.output.split())


Playbook = Callable[..., Play]
