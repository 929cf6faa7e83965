"""Filters for what Jinja cannot say in a line."""
