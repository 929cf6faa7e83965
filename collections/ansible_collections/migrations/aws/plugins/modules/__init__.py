"""Modules for what the AWS collections cannot express or repeat."""
