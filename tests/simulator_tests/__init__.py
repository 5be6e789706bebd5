"""The simulator's own promises, and Cisco's clients as its judges."""
