"""Readers of what services give to a person who asks for their own listening history."""
