"""Calls out of scores: consensus of frames and chunks, and the calibration of their margins."""
