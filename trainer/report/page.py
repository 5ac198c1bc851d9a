"""The report's page: its style sheet and its HTML elements. Every text is escaped here."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from albert_fast.text import quantity
from trainer.report import hover

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trainer.report.figures import Drawn

GENERATOR = '<meta name="generator" content="albert-fast report">'
"""What marks a file as a report."""

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --card: #f5f6f8; --ink: #1c2026; --soft: #5a6270; --faint: #a9b0bb;
  --line: #dfe3e8; --good: #1a7f4b; --warn: #a15c00; --c1: #1f66c1; --c2: #c2410c; --c3: #1a7f4b; --c4: #8b3fa8;
  --c5: #b4235a; --c6: #0e7490; --c7: #8a6100; --c8: #5a6270; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171c; --card: #1d2229; --ink: #e6e9ee; --soft: #9aa4b2; --faint: #667080; --line: #2d343e;
    --good: #4ade80; --warn: #fbbf24; --c1: #6ea8fe; --c2: #fb923c; --c3: #4ade80; --c4: #d08bf0; --c5: #fb7fae;
    --c6: #38c6dd; --c7: #e0b040; --c8: #aab3c0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 70rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .7rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: .95rem; margin: 0 0 .4rem; }
p { margin: .4rem 0; max-width: 46rem; overflow-wrap: anywhere; }
.soft, caption, .tile small { color: var(--soft); }
.good { color: var(--good); } .warn { color: var(--warn); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem; margin: 1.1rem 0; }
.tile { background: var(--card); border-radius: .5rem; padding: .65rem .8rem; }
.tile b { display: block; font-size: 1.35rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile span { font-size: .85rem; } .tile small { display: block; font-size: .8rem; line-height: 1.35; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.4rem 1.6rem; }
.columns { columns: 26rem; column-gap: 1.6rem; } .columns section { break-inside: avoid; padding-top: .1rem; }
figure { margin: 0; min-width: 0; }
svg { display: block; width: 100%; height: auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .28rem .9rem .28rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; } tbody th { font-weight: 400; color: var(--soft); min-width: 9rem; }
td { overflow-wrap: anywhere; } .numbers td, .numbers th { text-align: right; white-space: nowrap; }
.numbers tr > :first-child { text-align: left; } .numbers .best td { font-weight: 600; }
@media (max-width: 34rem) { .numbers { font-size: .8rem; } .numbers th, .numbers td { padding-right: .5rem; }
  .numbers th { white-space: normal; vertical-align: bottom; } }
details { margin: .8rem 0; } summary { cursor: pointer; font-weight: 600; }
td code { overflow-wrap: anywhere; font-size: .85rem; } mark { background: var(--c1); color: var(--paper);
  border-radius: .2rem; padding: 0 .25rem; }
.command { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8rem; background: var(--card); margin: .6rem 0;
  padding: .5rem .7rem; border-radius: .4rem; }
section > h3 { margin-top: 1rem; }
.numbers.samples td, .numbers.samples th { text-align: left; } .samples .right { color: var(--good); font-weight: 600; }
.swatch { display: inline-block; width: .7rem; height: .7rem; border-radius: 50%; margin-right: .4rem; flex: none; }
.runs { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; padding: 0; margin: .6rem 0;
  overflow-wrap: anywhere; } .runs li { display: flex; align-items: baseline; min-width: 0; }
.compared th, .compared td { min-width: 7rem; max-width: 18rem; overflow-wrap: anywhere; }
input[name=axis] + label, input[name=axis] ~ label { margin-right: 1rem; }
#by-steps:not(:checked) ~ #over-steps, #by-time:not(:checked) ~ #over-time,
#by-tokens:not(:checked) ~ #over-tokens { display: none; }
@media print { .plots { grid-template-columns: 1fr 1fr; } figure { break-inside: avoid; } }
"""


class Tile(NamedTuple):
    """A figure of the summary."""

    name: str
    value: str
    note: str = ""


def escape(value: object) -> str:
    """Return `value` as text of a page. What is not valid Unicode, as in file names, becomes escapes."""
    return html.escape(str(value).encode(errors="backslashreplace").decode())


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{escape(text)}</p>"


def section(title: str, *content: str) -> str:
    """Return a section with the nonempty parts of `content`, or nothing if all are empty."""
    found = [part for part in content if part]
    return "\n".join([f"<section>\n<h2>{escape(title)}</h2>", *found, "</section>"]) if found else ""


def columns(*sections: str) -> str:
    """Return sections that are side by side if the page is wide enough."""
    found = [part for part in sections if part]
    return "\n".join(['<div class="columns">', *found, "</div>"]) if found else ""


def tiles(found: Iterable[Tile]) -> str:
    """Return the summary's figures."""
    parts = [
        f'<div class="tile"><span>{escape(tile.name)}</span><b>{escape(tile.value)}</b>'
        f"<small>{escape(tile.note)}</small></div>"
        for tile in found
    ]
    return "\n".join(['<div class="tiles">', *parts, "</div>"]) if parts else ""


def figure(title: str, drawn: Drawn) -> str:
    """Return a figure under its title, with the values that the script shows."""
    # Within a script, nothing is escaped as in HTML, and "</" would end it.
    values = json.dumps(drawn.hover, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return (
        f'<figure class="plot" tabindex="0">\n<h3>{escape(title)}</h3>\n{drawn.svg}\n'
        f'<script type="application/json">{values}</script>\n</figure>'
    )


def swatch(color: int) -> str:
    """Return a dot of a curve's color, which is numbered from 0."""
    return f'<i class="swatch" style="background: var(--c{color % 8 + 1})"></i>'


def code(text: str) -> str:
    """Return a command line."""
    return f'<pre class="command">{escape(text)}</pre>'


def predictions(sample: Mapping[str, Any], rows: Iterable[tuple[int, Mapping[str, Any]]]) -> str:
    """Return a masked token in its context, and the predictions for it by step, as `trainer.run.samples` has them."""
    piece = sample.get("piece")
    most = max(1, len(_pairs(sample.get("guesses"))))
    lines = [
        f"<h3>{escape(sample.get('before', ''))} <mark>{escape(piece)}</mark> {escape(sample.get('after', ''))}</h3>",
        '<div class="wide"><table class="numbers samples"><thead><tr><th>step</th>',
        f'<th colspan="{most}">best pieces</th><th>right piece</th></tr></thead><tbody>',
    ]
    for step, found in rows:
        cells = [f"<td>{step:,}</td>"]
        for guess, probability in _pairs(found.get("guesses"))[:most]:
            kind = ' class="right"' if guess == piece else ""
            cells.append(f"<td{kind}>{escape(guess)} {_odds(probability)}</td>")
        cells += ["<td></td>"] * (most + 1 - len(cells))
        cells.append(f"<td>{escape(piece)}: {_odds(found.get('probability'))}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</tbody></table></div>"])


def _pairs(guesses: Any) -> list[tuple[Any, Any]]:
    found = guesses if isinstance(guesses, list) else []
    return [(one[0], one[1]) for one in found if isinstance(one, list) and len(one) == 2]


def _odds(value: Any) -> str:
    if not isinstance(value, int | float):
        return "n/a"
    return f"{100 * value:.1f}%" if value >= 0.0995 else f"{100 * value:.2g}%"


def number_table(head: Sequence[str], rows: Iterable[Sequence[str]], best: int | None = None) -> str:
    """Return a table of figures, with the row of index `best` highlighted."""
    lines = ['<div class="wide"><table class="numbers">', "<thead><tr>"]
    lines += [f"<th>{escape(name)}</th>" for name in head]
    lines.append("</tr></thead><tbody>")
    for number, row in enumerate(rows):
        lines.append('<tr class="best">' if number == best else "<tr>")
        lines += [f"<td>{escape(value)}</td>" for value in row]
        lines.append("</tr>")
    return "\n".join([*lines, "</tbody></table></div>"])


def run_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with a column per run, in the order of their colors."""
    first, *names = head
    lines = ['<div class="wide"><table class="compared">', f"<thead><tr><th>{escape(first)}</th>"]
    lines += [f"<th>{swatch(color)}{escape(name)}</th>" for color, name in enumerate(names)]
    lines.append("</tr></thead><tbody>")
    for key, *values in rows:
        lines.append(f"<tr><th>{escape(key)}</th>{''.join(f'<td>{escape(value)}</td>' for value in values)}</tr>")
    return "\n".join([*lines, "</tbody></table></div>"])


def table(values: Mapping[str, Any], names: Mapping[str, str] | None = None, exact: bool = False) -> str:
    """Return a table of names and values, without null ones and with nested ones flattened.

    Args:
        values: the values by key. Those in `names` come first.
        names: the displayed names of keys. Other keys are displayed as they are.
        exact: whether keys and values are written as in the configuration, so that they can be copied.
    """
    names = names or {}
    flat = dict(_flatten(values))
    order = [key for key in names if key in flat] + [key for key in flat if key not in names]
    rows = [
        (names.get(key, key), flat[key] if isinstance(flat[key], str) else json.dumps(flat[key], ensure_ascii=False))
        if exact
        else (names.get(key) or key.replace("_", " "), shown(key, flat[key]))
        for key in order
    ]
    lines = [f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows]
    return "\n".join(['<div class="wide"><table><tbody>', *lines, "</tbody></table></div>"]) if lines else ""


def _flatten(values: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{before}{key}: ")
        elif value is not None:
            yield before + key, value


def shown(key: str, value: Any) -> str:
    """Format a value for the user. Keys that end in "bytes" or "flops" have those units."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(shown("", item) for item in value) or "none"
    if isinstance(value, int | float):
        if key.endswith("bytes"):
            return quantity(value, "bytes")
        if "flops" in key and value >= 1e6:
            return f"{value / 1e9:,.4g} billion" if value < 1e12 else f"{value / 1e9:,.0f} billion"
        return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
    return str(value)


def whole(title: str, *sections: str) -> str:
    """Return the page."""
    head = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{GENERATOR}\n<title>{escape(title)}</title>\n<style>{STYLE}{hover.STYLE}</style>\n</head>\n<body>\n"
    )
    body = "\n".join(part for part in sections if part)
    script = f"\n<script>{hover.SCRIPT}</script>" if "<svg" in body else ""
    return f"{head}{body}{script}\n</body>\n</html>\n"
