"""Viral or non-viral: the library behind the virnucpro-nf pipeline."""

__version__ = "0.1.0"
