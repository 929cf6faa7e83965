"""Seeded faults at any instant, and what they may never leave behind: `make torture`."""
