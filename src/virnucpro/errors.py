"""The error that is the user's to fix, and how its message quotes them."""


class InputError(Exception):
    """Something the user can fix: the text names the place, the cause and the remedy."""


def excerpt(text: object, num_letters: int = 80) -> str:
    r"""Return a text as messages quote it: its first letters, those not printable as `\x1b`.

    A name, cell or key may have thousands of letters, and a control character changes a terminal.
    """
    whole = str(text)
    shown = whole if len(whole) <= num_letters else whole[: num_letters - 1] + "…"
    return printable(shown)


def printable(text: str) -> str:
    r"""Return a text with line breaks, tabs and other control characters as `\x1b`."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
