"""Tests of the device's language."""
