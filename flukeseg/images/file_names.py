"""File names that every operating system takes, and tells apart."""

from __future__ import annotations

import re
import unicodedata

# Devices on Windows, with any suffix and in any case.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?= *(\.|$))", re.IGNORECASE)


def portable_name(name: str) -> str:
    """Return the name of a file or folder with `~` where Windows allows no such name.

    Those are names with one of `<>:"|?*`, a backslash or a control character, names that end in a
    dot or a space, and names of devices such as CON and NUL.
    """
    name = re.sub(r'[<>:"\\|?*\x00-\x1f]', "~", name)
    name = re.sub(r"[. ]+$", lambda end: "~" * len(end[0]), name)
    return _DEVICES.sub(r"\1~", name) if _DEVICES.match(name) else name


def collision_key(name: str) -> str:
    """Return what two names share that some disk takes for one: case and accents' encoding aside.

    Windows and macOS ignore case; macOS takes é as one character and as e with an accent alike.
    """
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
