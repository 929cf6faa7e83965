"""The way to one database: address, login, session, who is in the way, its catalog.

Knows nothing of migrations: may use the ground floor only.
"""
