"""Everything that talks to the cloud: the outbox, the broker, and what is said."""
