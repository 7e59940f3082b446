"""The frame of a page, its parts, and the escaping that all text goes through.

Every piece of text is untrusted: titles, task texts and answers come from files and from the wire. It becomes `Html`
only by `text`; parts are put together from `Html` alone.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import NewType

from reports.plain import printable

Html = NewType("Html", str)
NOTHING = Html("")


def text(value: object) -> Html:
    """Text as it is read, whatever it holds."""
    return Html(html.escape(printable(str(value)), quote=True))


def join(parts: Iterable[Html]) -> Html:
    """One after another."""
    return Html("".join(parts))


def element(name: str, content: Html = NOTHING, **attributes: object) -> Html:
    """An element; `_` in an attribute's name stands for `-`, and `class_` for `class`."""
    named = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    written = "".join(f' {key}="{text(value)}"' for key, value in named.items())
    return Html(f"<{name}{written}>{content}</{name}>")


def label(value: object) -> Html:
    """Text of any length in a cell: it is broken, where numbers are not."""
    return element("span", text(value), class_="label")


def table(head: Sequence[str], rows: Iterable[Sequence[Html]]) -> Html:
    """A table; what its cells hold is text already."""
    titles = join(element("th", text(title), scope="col") for title in head)
    body = join(element("tr", join(element("td", cell) for cell in row)) for row in rows)
    whole = element("thead", element("tr", titles)) + element("tbody", body)
    return element("div", element("table", Html(whole)), class_="wide")


def section(title: str, *parts: Html) -> Html:
    """A part with a heading."""
    return element("section", Html(element("h2", text(title)) + join(parts)))


def page(title: str, *parts: Html) -> str:
    """The whole file."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{text(title)}</title><style>{_STYLE}</style></head>\n<body><main>{join(parts)}</main></body></html>\n"
    )


_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--quiet:#5b6672;--line:#d5dae0;--back:#fff;--one:#1464b4;--two:#b4501e;
--bad:#b3261e;--good:#1b7a3d;--unsure:#8a6100;--band:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--quiet:#9aa6b2;--line:#39424d;--back:#14181d;--one:#6db3f2;
--two:#f0a070;--bad:#ff8a80;--good:#6fd08c;--unsure:#e5b94e;--band:#ff8a80}}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1000px;margin:0 auto;padding:1.5rem}
h1{font-size:1.5rem;margin:0 0 .25rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}
p{margin:.25rem 0}.quiet{color:var(--quiet)}.passed,.held{color:var(--good)}.failed{color:var(--bad)}
.inconclusive{color:var(--unsure)}.verdict{font-weight:700;text-transform:uppercase}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}
th,td{text-align:left;padding:.2rem .9rem .2rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td,th{white-space:nowrap}.label{display:inline-block;white-space:normal;overflow-wrap:anywhere;min-width:9rem;
max-width:34rem}p,summary,h1{overflow-wrap:anywhere}.lines{white-space:pre-wrap}
.wide{overflow-x:auto}svg{width:100%;min-width:620px;height:auto;display:block}
svg text{fill:var(--quiet);font:11px system-ui,sans-serif}
.axis{stroke:var(--line)}.end{stroke:var(--quiet);stroke-dasharray:3 3}
.one,.two{fill:none;stroke-width:1.6;stroke-linecap:round;stroke:var(--one)}.two{stroke:var(--two)}
.band{fill:var(--band);opacity:.13}.key-one{color:var(--one)}.key-two{color:var(--two)}
pre{overflow-x:auto;font-size:.8rem;border-left:3px solid var(--line);padding-left:.8rem}
details{margin:.5rem 0}summary{cursor:pointer}
@media print{main{max-width:none}details{display:block}}
"""
