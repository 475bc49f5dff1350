"""Viral or non-viral: the library behind the virnucpro-nf pipeline."""
