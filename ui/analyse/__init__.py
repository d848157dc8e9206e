"""The Analyse page: the songs of a visitor, one song in detail, its tags."""
