"""Yardsticks: motion transfer with known answers, ablations, and speed."""
