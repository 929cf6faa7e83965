"""The emulators as processes of their own, with what they lack patched before they start.

Here enters only what runs inside such a process. Nothing imports the room: `local.stack` starts it.
"""
