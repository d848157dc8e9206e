"""The Models page: every named weight and trained ensemble."""
