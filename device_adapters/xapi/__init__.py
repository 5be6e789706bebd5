"""The language of the devices: bytes and text on one side, typed messages and core events on the other."""
