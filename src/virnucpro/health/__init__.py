"""Checks of an installation on this machine: one function each, which returns its results."""
