"""Many targets at once: who they are, the processes that work on them, and what came of each.

May use `engine` and what is below it. A worker is a process of its own (`python -m
runner.worker`) that reads a target a line and answers a line.
"""
