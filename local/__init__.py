"""The emulated AWS and the embedded PostgreSQL that `make local` and the tests use."""
