"""The error that is the user's to fix."""


class InputError(Exception):
    """Something the user can fix: the text names the place, the cause and the remedy."""
