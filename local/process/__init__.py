"""This machine: its daemons, and what a process inherits.

Here enters what would be the same without AWS and without PostgreSQL, and all that depends on the
operating system. It knows `runner.embedded`, which has the processes and ports, and no other room.
"""
