"""JSON as Go's `encoding/json` writes it: no spaces, `<`, `>` and `&` escaped, 32-bit numbers spelled shortest."""

from __future__ import annotations

import json
import re
import struct
from decimal import Decimal
from typing import TypeAlias

Json: TypeAlias = "bool | int | str | Float32 | list[Json] | dict[str, Json] | None"


class Float32(float):
    """A number that Go keeps in 32 bits."""

    def text(self) -> str:
        """The shortest spelling that names the same 32 bits, with an exponent where Go writes one."""
        kept = _in_32_bits(self)
        digits = next(
            spelled for precision in range(1, 10) if _in_32_bits(float(spelled := f"{kept:.{precision}g}")) == kept
        )
        if kept and not _in_32_bits(1e-6) <= abs(kept) < 1e21:
            mantissa, _, exponent = f"{Decimal(digits):e}".partition("e")
            power = int(exponent)
            return f"{mantissa}e{power}" if power < 0 else f"{mantissa}e+{power:02}"
        return format(Decimal(digits), "f")


def _in_32_bits(number: float) -> float:
    kept: float = struct.unpack("f", struct.pack("f", number))[0]
    return kept


def write(value: Json) -> str:
    """`value` as Go spells it; members in the order of the dict."""
    match value:
        case Float32():
            return value.text()
        case dict():
            return "{" + ",".join(f"{write(name)}:{write(member)}" for name, member in value.items()) + "}"
        case list():
            return "[" + ",".join(write(item) for item in value) + "]"
        case str():
            return _written(value)
    return json.dumps(value)


def _written(text: str) -> str:
    escaped = json.dumps(text, ensure_ascii=False)
    return re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", escaped)
