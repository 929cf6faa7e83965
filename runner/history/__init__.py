"""The history of migrations in the target: every SQL statement on `schema_version` is here.

May use `database`, `files` and what is below them.
"""
