"""The device's language, as values: no network, no clock, no luck."""
