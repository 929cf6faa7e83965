"""What the local stack tells a person when it cannot go on."""

from runner.errors import ConfigurationError as LocalError

__all__ = ["LocalError"]
