"""The errors that are not our bugs, what the user can fix or damage, and how they quote texts."""


class InputError(Exception):
    """Something the user can fix: the text names the place, the cause and the remedy."""

    def __str__(self) -> str:
        """Return the text with control characters of the input escaped, safe for a terminal."""
        return "\n".join(map(printable, super().__str__().split("\n")))


class DamagedFileError(InputError):
    """A file of an earlier task is not what that task wrote (exit status 65, EX_DATAERR)."""


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
