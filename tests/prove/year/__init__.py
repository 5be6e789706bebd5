"""A year of meeting rooms of which everything is known: who was there, and what the sensors made of it."""
