"""Errors that are the user's to mend, and how a program reports them."""


class InputError(Exception):
    """Something the user can mend: the text names the place, the cause and the remedy."""
