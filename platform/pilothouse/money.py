"""Money: USD as whole nano-dollars inside, as a decimal string with 9 places outside; never a float in sums."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

NANO = 1_000_000_000  # nano-dollars of a dollar
_PLACES = Decimal("0.000000001")
LARGEST = 9_000_000_000  # dollars; beyond it nano-dollars leave 64 bits
RULE = "must be a decimal number of dollars"
_AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,9})?")  # Decimal takes more, such as "1_000" and " 1"


def parse_usd(value: str | float) -> int:
    """Read dollars and round half-even to 9 places. Returns nano-dollars. Raises ValueError for what is no amount."""
    try:
        amount = Decimal(str(value)) if _AMOUNT.fullmatch(str(value)) else Decimal("NaN")
    except (InvalidOperation, ValueError):  # an exponent or an integer beyond what Python takes
        raise ValueError(RULE) from None
    if amount.is_nan():
        raise ValueError(RULE)
    if not 0 <= amount < LARGEST:
        raise ValueError("must lie between 0 and 9,000,000,000 dollars")
    return int(amount.quantize(_PLACES, ROUND_HALF_EVEN).scaleb(9))


def to_usd(nano: int) -> str:
    """Write nano-dollars as a decimal string with 9 places."""
    sign = "-" if nano < 0 else ""
    return f"{sign}{abs(nano) // NANO}.{abs(nano) % NANO:09d}"
