"""What the local stack tells a person when it cannot go on."""


class LocalError(Exception):
    """One clear line that names the cause and the fix; never shown with a traceback."""
