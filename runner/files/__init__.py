"""The migrations of a folder: names, checksums, directives, and what is wrong with their SQL.

Offline: may use `syntax` and the ground floor, never psycopg2.
"""
