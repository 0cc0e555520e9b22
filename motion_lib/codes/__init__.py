"""Motion codes: reading a clip's motion in one pass, as an embedding of a frozen model, as tokens of object and camera,
and as a vector to compare motions by (docs/codes.md)."""
