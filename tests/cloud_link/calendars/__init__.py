"""The clients of the cloud calendars, over real sockets."""
