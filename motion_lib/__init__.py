"""Motion Inversion: learn the motion of one clip and give it to other videos."""

__version__ = "0.1.0"
