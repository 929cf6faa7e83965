"""The emulators as processes of their own, with what they lack patched before they start."""
