"""The promises, one by one, against real brokers, crashes and cuts: `make prove`."""
