"""The making of the bundled model sets (make train-compact)."""
