"""The one error that is the user's to mend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that names the file or the key and says what to do; the command
    line shows it without a traceback.
    """


def require_int(key: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """Return a whole number that an option gave.

    Raises:
        InputError: it is no whole number, below `least`, or above `most`.
    """
    if type(value) is int and value >= least and (most is None or value <= most):
        return value
    bound = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise InputError(f"{key}={value} must be a whole number {bound}")


def require_bool(key: str, value: Any) -> bool:
    """Return a truth value that an option gave; Hydra reads `no` and `off` as texts.

    Raises:
        InputError: it is neither true nor false.
    """
    if isinstance(value, bool):
        return value
    raise InputError(f"{key}={value} must be true or false")


def require_size(key: str, value: Any) -> tuple[int, int]:
    """Return the (height, width) in pixels that an option gave.

    Raises:
        InputError: it is no pair of whole numbers of at least 1.
    """
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise InputError(f"{key}={value} must be [height,width]")
    return require_int(key, value[0], most=30_000), require_int(key, value[1], most=30_000)


def require_text(key: str, value: Any) -> str:
    """Return a text that an option gave; Hydra reads some as numbers or lists.

    Raises:
        InputError: it is neither a text nor a whole number.
    """
    if isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    raise InputError(
        f"{key}={value} must be a text; one with commas, or that looks like something else, is "
        f"written '{key}=\"TEXT\"'"
    )


def require_number(key: str, value: Any, least: float = 0, most: float = 1) -> float:
    """Return an option's value, a number of `least` to `most`.

    Raises:
        InputError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InputError(f"{key}={value} must be from {least} to {most}")
    return value
