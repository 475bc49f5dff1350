"""The errors that are not our bugs: what the user can fix, and damage on the disk."""


class InputError(Exception):
    """Something the user can fix: the text names the place, the cause and the remedy."""


class DamagedFileError(InputError):
    """A file of an earlier task is not what that task wrote (exit status 65, EX_DATAERR)."""
