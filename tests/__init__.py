"""What roomd promises, as stories, and the simulated site in which they happen."""
