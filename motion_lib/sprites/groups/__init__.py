"""Clips in groups, with the truth of how object and camera move: what motion codes are learned from and tried on."""
