"""The Experiments page: start, watch, cancel and resume runs; what they gave."""
