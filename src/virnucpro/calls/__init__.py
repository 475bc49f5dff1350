"""Scores, consensus and the result tables."""
