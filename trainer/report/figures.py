"""The report's figures: SVG for embedding in a page, with text as text and colors from the page's style sheet.

They are drawn by matplotlib without pyplot, so no display and no figure of the caller is touched. Nothing here imports
TensorFlow.
"""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.errors import TrainerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

POINTS = 800
"""Maximum number of points of a drawn curve, which is more than a page has pixels for."""

STARTS = 40
"""Maximum number of starts that are marked. With more, a figure would show nothing else."""

COLORS = {"#010203": "var(--ink)", "#010204": "var(--faint)", "#010205": "var(--first)", "#010206": "var(--second)"}
"""Colors for matplotlib, and what replaces them in the page, so that one figure suits a light and a dark page."""

INK, FAINT, FIRST, SECOND = COLORS

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.labelsize": 11,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "legend.fontsize": 10.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": FAINT,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "path.simplify_threshold": 0.3,
}


@dataclass
class Curve:
    """One line of a figure. Without a label, it is not in the legend."""

    label: str
    steps: Floats
    values: Floats
    """One value per step; NaN if there is none."""
    second: bool = False
    """Whether it is drawn in the second color."""
    points: bool = False
    """Whether it has few values that each matter, which are drawn as points and not smoothed."""
    exact: bool = False
    """Whether it has no noise to smooth."""

    @property
    def known(self) -> bool:
        """Tell whether there is anything to draw."""
        return bool(np.isfinite(self.values).any())


@dataclass
class Level:
    """A horizontal line to compare with."""

    label: str
    value: float


@dataclass
class Plot:
    """What a figure shows, over the steps."""

    name: str
    """A name of letters and dashes, unique on the page."""
    title: str
    curves: Sequence[Curve]
    levels: Sequence[Level] = ()
    starts: Sequence[int] = ()
    """Steps at which training resumed."""
    percent: bool = False
    """Whether values are fractions, shown as percentages."""
    from_zero: bool = False
    """Whether the axis begins at 0, as it should for a rate."""


def smooth(values: Floats, window: int) -> Floats:
    """Return centered means over up to `window` values, ignoring NaN.

    Toward the start, the window narrows on both sides, so that the first, steep part remains steep. At the end, it has
    only its left side, so that the last mean is not a single noisy value.
    """
    count = len(values)
    index = np.arange(count)
    half = np.minimum(index, window // 2)
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    low, high = index - half, np.minimum(index + half + 1, count)
    found = counts[high] - counts[low]
    return np.where(found > 0, (sums[high] - sums[low]) / np.maximum(found, 1), np.nan)


def thin(steps: Floats, values: Floats, points: int = POINTS) -> tuple[Floats, Floats]:
    """Return at most `points` of a curve's points: the lowest and highest of each stretch, so that no peak is lost."""
    known = np.isfinite(values)
    steps, values = steps[known], values[known]
    if len(values) <= points:
        return steps, values
    keep: list[int] = []
    for part in np.array_split(np.arange(len(values)), points // 2):
        keep += sorted({int(part[values[part].argmin()]), int(part[values[part].argmax()])})
    # The ends decide how far the axis reaches.
    keep[0], keep[-1] = 0, len(values) - 1
    return steps[keep], values[keep]


def draw(plot: Plot) -> str:
    """Return `plot` as an SVG element.

    Raises:
        TrainerError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
    except ImportError:
        message = "the report needs matplotlib; install it with pip install '.[train]' in the clone"
        raise TrainerError(message, kind="io") from None

    # Newer versions of matplotlib have types for the names of their settings, and older ones do not.
    style: Any = {**STYLE, "svg.hashsalt": plot.name}
    with mpl.rc_context(style):
        figure = Figure(figsize=(5.2, 3.1))
        axes = figure.add_subplot()
        for curve in plot.curves:
            if curve.known:
                _draw_curve(axes, curve)
        for level in plot.levels:
            axes.axhline(level.value, color=INK, linestyle=(0, (5, 3)), linewidth=1, label=level.label)
        named = any(curve.label for curve in plot.curves)
        for number, start in enumerate(plot.starts[-STARTS:]):
            label = "resumed" if named and number == 0 else None
            axes.axvline(start, color=FAINT, linestyle=":", linewidth=1.2, label=label)
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        if plot.percent:
            axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
        else:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        if plot.from_zero:
            highest = max((float(np.nanmax(curve.values)) for curve in plot.curves if curve.known), default=0.0)
            axes.set_ylim(0, 1.08 * highest if highest > 0 else 1)
        _, labels = axes.get_legend_handles_labels()
        if labels:
            # Above the axes, so that it hides no curve.
            axes.legend(
                loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0, columnspacing=1.2
            )
        # The margins hold labels such as "0.00125" and the legend's rows. To measure those takes longer than to draw.
        rows = (len(labels) + 1) // 2
        figure.subplots_adjust(left=0.155, right=0.975, bottom=0.16, top=0.96 - 0.075 * rows)
        written = io.StringIO()
        figure.savefig(
            written,
            format="svg",
            transparent=True,
            metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")),
        )
    return _for_page(written.getvalue(), plot)


def short(value: float) -> str:
    """Format a number for an axis: "0.0012", "800", "2.5k", "1.2M"."""
    for suffix, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.6g}{suffix}"
    return f"{value:.6g}"


def _draw_curve(axes: Any, curve: Curve) -> None:
    color = SECOND if curve.second else FIRST
    steps, values = thin(curve.steps, curve.values)
    if curve.points:
        axes.plot(
            steps, values, color=color, marker="o", markersize=4.5, linewidth=0.8, label=curve.label or None, zorder=3
        )
        return
    count = int(np.isfinite(curve.values).sum())
    if count < 20 or curve.exact:
        marker = "." if count < 3 else None
        axes.plot(steps, values, color=color, linewidth=1.8, marker=marker, label=curve.label or None)
        return
    axes.plot(steps, values, color=color, linewidth=0.8, alpha=0.3)
    smoothed = smooth(curve.values, max(5, count // 50))
    axes.plot(*thin(curve.steps, smoothed), color=color, linewidth=1.8, label=curve.label or None)


def _for_page(svg: str, plot: Plot) -> str:
    """Adapt an SVG to the page: its ids get the plot's name, and its size and colors become the page's."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*;\s*", "", svg)
    svg = re.sub(r'\bid="', f'id="{plot.name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{plot.name}-", svg)
    for placeholder, variable in COLORS.items():
        svg = svg.replace(placeholder, variable)
    head, rest = svg.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{html.escape(plot.title)}">{rest.strip()}'
