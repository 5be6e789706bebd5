"""What the cloud is told, and how it arrives."""
