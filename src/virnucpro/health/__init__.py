"""Checks of an installation on this machine: one function each, which says what it found."""
