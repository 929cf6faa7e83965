"""What a runner imports, so that a fork has it already."""

import psycopg2
import psycopg2.extras

import runner.cli
import runner.commands.history
import runner.commands.repair
import runner.engine.execution
import runner.engine.migrate
from runner.files import pieces

# A file of some kilobytes is read piece by piece, as elsewhere one of many megabytes.
pieces._LARGE, pieces._WINDOW, pieces._READ = 2_000, 4_000, 1_000  # noqa: SLF001

__all__ = ["psycopg2", "runner"]
