"""The error that is the user's to fix."""


class InputError(Exception):
    """Something the user can fix: the text names the place, the cause and the remedy."""

    def __str__(self) -> str:
        """Return the text with control characters of the input escaped, safe for a terminal."""
        return "".join(
            char if char.isprintable() or char == "\n" else ascii(char)[1:-1]
            for char in super().__str__()
        )
