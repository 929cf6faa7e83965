"""What a person can ask for, a module each, and the table that names them all.

May use every room below.
"""
