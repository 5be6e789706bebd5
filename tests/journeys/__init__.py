"""The main day and its mishaps on real sockets: simulated devices, roomd as a process, a broker."""
