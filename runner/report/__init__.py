"""A result for people and other programs: text, page, Markdown, JUnit.

Reads the typed result and nothing else; no database, no file of a migration.
"""
