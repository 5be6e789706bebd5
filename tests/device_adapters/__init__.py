"""Tests of the devices' side: pure ones, and over real sockets."""
