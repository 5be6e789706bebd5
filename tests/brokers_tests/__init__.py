"""The tests' own brokers, judged by clients that we did not write."""
