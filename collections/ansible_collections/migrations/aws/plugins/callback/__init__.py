"""Callbacks that tell a pipeline what a play did."""
