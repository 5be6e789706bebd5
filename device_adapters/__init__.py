"""Everything that talks to a device."""
