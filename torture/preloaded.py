"""What a runner imports, so that a fork has it already."""

import psycopg2
import psycopg2.extras

import runner.cli
import runner.commands.history
import runner.commands.repair
import runner.engine.execution
import runner.engine.migrate

__all__ = ["psycopg2", "runner"]
