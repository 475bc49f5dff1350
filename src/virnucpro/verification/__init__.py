"""A finished result, checked again from its own files."""
