"""The errors that a user sees as a sentence instead of a traceback."""


class RackformError(Exception):
    """Something a user can cause or mend: the message holds the value, the rule and the remedy."""


class NotDone(RackformError):  # noqa: N818 - what became of the command
    """A command that had no answer in its time; whether it was carried out isn't known."""


class Unreachable(RackformError):  # noqa: N818 - what a reader calls the machine
    """A machine that can't be reached: no route, no SSH, another host key, a refused login."""


class OtherHostKey(Unreachable):
    """A machine that shows another host key than the pinned one.

    No preview passes over this: it may be another machine.
    """


class LoginRefused(Unreachable):
    """A machine that answers, and doesn't take the user or the key."""
