"""Compares two runs: their tables row by row, and their embeddings."""
