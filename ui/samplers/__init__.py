"""The Samplers page: the pairs that each method forms, and how its rows learn."""
