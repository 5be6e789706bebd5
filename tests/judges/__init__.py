"""Cisco's own clients, run against the simulated devices so that these are not judged by us alone."""
