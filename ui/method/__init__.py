"""The Method page: the paper on one page."""
