"""The one error that is the user's to mend."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that names the file or the key and says what to do; the command
    line shows it without a traceback.
    """
