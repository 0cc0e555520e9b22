"""Measures of motion transfer; every method is judged by the same ones."""
