"""Migration files of other tools, to be written under our names. Never in the Lambda.

May use `files`, `syntax` and the ground floor; needs no database. A tool is a reader in the table
of `importing`: it yields parts, each of which becomes a file.
"""
