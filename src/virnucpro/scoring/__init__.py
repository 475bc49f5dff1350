"""Scores of frames: the classifier and what it takes beside embeddings; what CLASSIFY runs."""
