"""What SQL text says. Pure: no file, no database, nothing of the rooms above."""
