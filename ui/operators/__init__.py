"""For who runs the server: how it is (`status`), as figures for Prometheus (`metrics`), as a page.

Nothing here names a person or a song.
"""
