"""The documentation site: pages and tables that are generated from the program, and hooks for MkDocs."""
