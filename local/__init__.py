"""The emulated AWS and the embedded PostgreSQL that `make local` and the tests use.

Only development needs it: nothing in `runner/` imports it, and of `runner/` it uses the
embedded server alone.
At the top stand the way from nothing to a migrated database (`up`), the emulators as background
processes (`stack`), where they keep their files and ports (`state`) and the commands (`cli`).
"""
