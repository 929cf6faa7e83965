"""Documentation that modules share."""
