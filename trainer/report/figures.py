"""The report's figures: SVG for embedding in a page, with text as text and colors from the page's style sheet.

With each comes what the page's script (`trainer.report.hover`) needs to show the values under the pointer. They are
drawn by matplotlib without pyplot, so no display and no figure of the caller is touched. Nothing here imports
TensorFlow.
"""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trainer.errors import TrainerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

POINTS = 800
"""Maximum number of points of a drawn curve, which is more than a page has pixels for."""
ALL_POINTS, LEAST_POINTS = 900, 150
"""The same for all curves of a figure together, and the number of points that each of them may have in any case."""

MARKED = 60
"""Maximum number of points of a curve that are drawn as points. Each takes as much of the page as ten of a line."""

STARTS = 40
"""Maximum number of starts that are marked. With more, a figure would show nothing else."""

CURVE_COLORS = 8
"""Number of colors for curves: --c1 to --c8 of the page. After that, they begin again, dashed."""

COLORS = {
    "#010203": "var(--ink)",
    "#010204": "var(--faint)",
    **{f"#01020{5 + number:x}": f"var(--c{number + 1})" for number in range(CURVE_COLORS)},
}
"""Colors for matplotlib, and what replaces them in the page, so that one figure suits a light and a dark page."""

INK, FAINT, *CURVES = COLORS

AXES = {"step": "step", "hours": "hours of training", "minutes": "minutes of training", "tokens": "tokens"}
"""What figures are drawn over, and its label."""

WIDTH, HEIGHT = 374.4, 223.2
"""Size of a figure in points, the units of its coordinates."""

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
    x: Floats
    values: Floats
    """One value per x; NaN if there is none."""
    color: int = 0
    """Number of its color, from 0."""
    points: bool = False
    """Whether it has few values that each matter, which are drawn as points and not smoothed."""
    exact: bool = False
    """Whether it has no noise to smooth."""
    pale: bool = True
    """Whether the values are drawn too if the curve is smoothed."""

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
    """What a figure shows."""

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
    axis: str = "step"
    """What x is: one of `AXES`."""
    legend: bool = True
    """Whether the figure names its curves."""


class Drawn(NamedTuple):
    """A figure."""

    svg: str
    hover: dict[str, Any]
    """What the page's script takes.

    `box` is the part of the figure that the axes enclose: left, right, top and bottom. `x` and `y` are the limits of
    the axes there. A curve has its name, its color (`c`), `x`, the values `y` and, if it is smoothed, the means `m`.
    """


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


def kept(values: Floats, points: int) -> NDArray[np.intp]:
    """Return the indices of at most `points` of a curve's values that are to be drawn, without NaN.

    They are the lowest and the highest of each stretch, so that no peak is lost.
    """
    known = np.flatnonzero(np.isfinite(values))
    if len(known) <= points:
        return known
    keep: list[int] = []
    for part in np.array_split(known, points // 2):
        keep += sorted({int(part[values[part].argmin()]), int(part[values[part].argmax()])})
    # The ends decide how far the axis reaches.
    keep[0], keep[-1] = int(known[0]), int(known[-1])
    return np.array(keep, np.intp)


def thin(x: Floats, values: Floats, points: int = POINTS) -> tuple[Floats, Floats]:
    """Return the points of a curve that `kept` keeps."""
    index = kept(values, points)
    return x[index], values[index]


def draw(plot: Plot) -> Drawn:
    """Draw a figure.

    Raises:
        TrainerError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
    except ImportError:
        message = "the report needs matplotlib; install it with pip install '.[report]' in the clone"
        raise TrainerError(message, kind="io") from None

    curves = [curve for curve in plot.curves if curve.known]
    points = min(POINTS, max(LEAST_POINTS, ALL_POINTS // max(1, len(curves))))
    # Newer versions of matplotlib have types for the names of their settings, and older ones do not.
    style: Any = {**STYLE, "svg.hashsalt": plot.name}
    with mpl.rc_context(style):
        figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72))
        axes = figure.add_subplot()
        shown = [_draw_curve(axes, curve, points, legend=plot.legend) for curve in curves]
        for level in plot.levels:
            label = level.label if plot.legend else None
            axes.axhline(level.value, color=INK, linestyle=(0, (5, 3)), linewidth=1, label=label)
        named = any(curve.label for curve in plot.curves) and plot.legend
        for number, start in enumerate(plot.starts[-STARTS:]):
            label = "resumed" if named and number == 0 else None
            axes.axvline(start, color=FAINT, linestyle=":", linewidth=1.2, label=label)
        axes.set_xlabel(AXES[plot.axis])
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=plot.axis in {"step", "tokens"}))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        if plot.percent:
            axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
        else:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        if plot.from_zero:
            highest = max((float(np.nanmax(curve.values)) for curve in curves), default=0.0)
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
        place = axes.get_position()
        hover = {
            "box": [
                _digits(value)
                for value in (place.x0 * WIDTH, place.x1 * WIDTH, (1 - place.y1) * HEIGHT, (1 - place.y0) * HEIGHT)
            ],
            "x": [float(value) for value in axes.get_xlim()],
            "y": [float(value) for value in axes.get_ylim()],
            "axis": plot.axis,
            "percent": plot.percent,
            "curves": shown,
        }
    return Drawn(_for_page(written.getvalue(), plot), hover)


def short(value: float) -> str:
    """Format a number for an axis: "0.0012", "800", "2.5k", "1.2M"."""
    for suffix, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.6g}{suffix}"
    return f"{value:.6g}"


def _draw_curve(axes: Any, curve: Curve, points: int, *, legend: bool) -> dict[str, Any]:
    """Draw a curve, and return what the script takes of it."""
    color = CURVES[curve.color % CURVE_COLORS]
    dashes: Any = (0, (4, 2)) if curve.color >= CURVE_COLORS else "-"
    label = (curve.label or None) if legend else None
    index = kept(curve.values, points)
    x, values = curve.x[index], curve.values[index]
    found = {
        "name": curve.label,
        "c": curve.color % CURVE_COLORS + 1,
        "x": [_digits(value) for value in x],
        "y": [_digits(value) for value in values],
    }
    if curve.points:
        few = len(index) <= MARKED
        looks: dict[str, Any] = {"marker": "o", "markersize": 4.5, "linewidth": 0.8} if few else {"linewidth": 1.8}
        axes.plot(x, values, linestyle=dashes, color=color, label=label, zorder=3, **looks)
        return found
    count = int(np.isfinite(curve.values).sum())
    if count < 20 or curve.exact:
        marker = "." if count < 3 else None
        axes.plot(x, values, color=color, linestyle=dashes, linewidth=1.8, marker=marker, label=label)
        return found
    smoothed = smooth(curve.values, max(5, count // 50))
    if curve.pale:
        axes.plot(x, values, color=color, linewidth=0.8, alpha=0.3)
    axes.plot(*thin(curve.x, smoothed, points), color=color, linestyle=dashes, linewidth=1.8, label=label)
    return found | {"m": [_digits(value) for value in smoothed[index]]}


def _digits(value: float) -> float | int:
    """Return a number with the digits that a reader can use, as JSON writes it in few characters."""
    rounded = float(f"{value:.6g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def _for_page(svg: str, plot: Plot) -> str:
    """Adapt an SVG to the page: its ids get the plot's name, and its size and colors become the page's."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*;\s*", "", svg)
    # A hundredth of a point is less than a pixel shows, and a curve has hundreds of points.
    svg = re.sub(r'\bd="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)
    svg = re.sub(r'\bid="', f'id="{plot.name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{plot.name}-", svg)
    for placeholder, variable in COLORS.items():
        svg = svg.replace(placeholder, variable)
    head, rest = svg.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{html.escape(plot.title)}">{rest.strip()}'
