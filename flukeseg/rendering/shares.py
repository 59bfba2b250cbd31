"""Shares of what the renderer draws: of species, of crops."""

from collections.abc import Mapping

from flukeseg.errors import InputError, require_number


def check_shares(
    key: str, shares: Mapping[str, float] | None, usual: Mapping[str, float]
) -> Mapping[str, float]:
    """Return shares that add up to 1; none are the usual ones, which also name what there is.

    Raises:
        InputError: there is no such thing, or the shares are no positive numbers.
    """
    if not shares:
        return usual
    if unknown := set(shares) - set(usual):
        raise InputError(f"{key} has {min(unknown)}, which is not one of {', '.join(usual)}")
    for name, share in shares.items():
        require_number(f"{key}.{name}", share, most=1e6)
    total = sum(shares.values())
    if not total:
        raise InputError(f"{key}={dict(shares)} must have a share above 0")
    return {name: share / total for name, share in shares.items()}
