"""The face of hitcore: `frame` for all pages, `server` around them, and one folder per page."""
