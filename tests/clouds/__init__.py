"""The clouds' calendar services as the network sees them; they import nothing of ours."""
