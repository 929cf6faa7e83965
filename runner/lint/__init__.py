"""The linter: squawk's rules, our own, and the files against a git base. Never in the Lambda.

May use `files`, `syntax` and the ground floor; needs no database.
"""
