"""Curves as one SVG file of panels, without the weight of a plotting library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

Points = Sequence[tuple[float, float]]

SIDE, MARGIN, TITLE = 260, 48, 24  # px: of a plot, around it, above it
TICKS = 5
COLOURS = ("#0b5fa5", "#c8501e", "#5a8f29")
MAX_POINTS = 400  # of a line


@dataclass(frozen=True)
class Panel:
    """A plot.

    Attributes:
        lines: name -> points, by x.
        x_range, y_range: from, to.
        diagonal: whether to draw where x = y.
    """

    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, Points]
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)
    diagonal: bool = field(default=False, kw_only=True)


def svg(panels: Sequence[Panel]) -> str:
    """Return the text of an SVG file with the panels side by side."""
    width = len(panels) * (SIDE + 2 * MARGIN)
    height = SIDE + 2 * MARGIN + TITLE
    body = [
        f'<g transform="translate({n * (SIDE + 2 * MARGIN) + MARGIN},{MARGIN})">{_panel(p)}</g>'
        for n, p in enumerate(panels)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def thinned(points: Points) -> Points:
    """Return at most MAX_POINTS of them, both ends included."""
    if len(points) <= MAX_POINTS:
        return points
    step = (len(points) - 1) / (MAX_POINTS - 1)
    return [points[round(n * step)] for n in range(MAX_POINTS)]


def _panel(panel: Panel) -> str:
    parts = [
        f'<rect width="{SIDE}" height="{SIDE}" fill="none" stroke="#888"/>',
        f'<text x="{SIDE / 2}" y="-{TITLE}" text-anchor="middle" font-weight="bold">'
        f"{escape(panel.title)}</text>",
        f'<text x="{SIDE / 2}" y="{SIDE + 34}" text-anchor="middle">{escape(panel.x_label)}</text>',
        f'<text transform="translate(-36,{SIDE / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(panel.y_label)}</text>",
    ]
    for n in range(TICKS):
        share = n / (TICKS - 1)
        x, y = (low + share * (high - low) for low, high in (panel.x_range, panel.y_range))
        parts.append(
            f'<text x="{share * SIDE:.1f}" y="{SIDE + 16}" text-anchor="middle">{x:.3g}</text>'
            f'<text x="-6" y="{(1 - share) * SIDE + 4:.1f}" text-anchor="end">{y:.3g}</text>'
        )
    if panel.diagonal:
        parts.append(f'<path d="M0,{SIDE} L{SIDE},0" stroke="#ccc" fill="none"/>')
    for n, (name, points) in enumerate(panel.lines.items()):
        colour = COLOURS[n % len(COLOURS)]
        places = " L".join(_place(panel, *point) for point in thinned(points))
        parts.append(f'<path d="M{places}" stroke="{colour}" stroke-width="1.6" fill="none"/>')
        parts.append(
            f'<text x="{SIDE - 6}" y="{SIDE - 8 - 14 * n}" text-anchor="end" fill="{colour}">'
            f"{escape(name)}</text>"
        )
    return "\n".join(parts)


def _place(panel: Panel, x: float, y: float) -> str:
    """Return a point in px, kept inside the plot."""
    shares = [
        min(1.0, max(0.0, (value - low) / ((high - low) or 1)))
        for value, (low, high) in ((x, panel.x_range), (y, panel.y_range))
    ]
    return f"{shares[0] * SIDE:.1f},{(1 - shares[1]) * SIDE:.1f}"
