"""Everything that talks to a device: reaches it, understands it, and says it in the core's words."""
