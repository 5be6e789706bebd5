"""`make bench`: roomd beside the floor and beside Cisco's own clients, in one run and on one machine."""
