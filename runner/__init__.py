"""Apply numbered SQL files to PostgreSQL: one core, as a command line and as a Lambda."""
