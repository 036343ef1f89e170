"""One self-contained HTML page: headings, paragraphs, tables and figures, nothing from the network.

Every text passes through `html.escape`, so that names from logs and files cannot become markup. On
a narrow screen each row of a table becomes a card.
"""

import html
import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sdde.report_style import INK, STYLE, themed

_SIZE = (5.2, 3.9)  # of a figure, in inches: its text stays readable on a phone
_SHORT = 18  # letters of a label of which three fit beside each other
_LONG = 40  # letters from which on a cell is prose


def heading(text: str) -> str:
    """Return a section heading."""
    return f"<h2>{html.escape(text)}</h2>"


def paragraph(text: str, *, style: str = "") -> str:
    """Return a paragraph; `style` is empty or a class of the style sheet."""
    return f'<p class="{html.escape(style)}">{html.escape(text)}</p>'


def bullets(items: Iterable[str]) -> str:
    """Return an unordered list."""
    return "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>"


def preformatted(text: str) -> str:
    """Return text in a fixed-width block."""
    return f"<pre>{html.escape(text)}</pre>"


def folded(summary: str, blocks: Iterable[str]) -> str:
    """Return blocks that open when their summary is clicked."""
    inside = "\n".join(blocks)
    return f"<details><summary>{html.escape(summary)}</summary>\n{inside}\n</details>"


def facts(items: Iterable[tuple[str, str, str]]) -> str:
    """Return cards with a name, a value and a remark each."""
    cards = [
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}"
        + (f"<small>{html.escape(remark)}</small>" if remark else "")
        + "</dd></div>"
        for name, value, remark in items
    ]
    return f'<dl class="facts">{"".join(cards)}</dl>'


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    caption: str = "",
    verdict: int | None = None,
    group: int | None = None,
) -> str:
    """Return a table; columns of numbers are set to the right.

    Parameters
    ----------
    columns : sequence of str
    rows : iterable of sequences
    caption : str
    verdict : int, optional
        Column coloured by whether it begins with "yes" or with "no".
    group : int, optional
        Column whose changes are marked by a line.
    """
    body = [[str(cell) for cell in row] for row in rows]
    numeric = [bool(body) and all(_is_number(row[i]) for row in body) for i in range(len(columns))]
    head = "".join(
        f'<th{_class("n" if numeric[i] else "")} scope="col">{html.escape(name)}</th>'
        for i, name in enumerate(columns)
    )
    lines, before = [], None
    for row in body:
        cells = []
        for i, text in enumerate(row):
            marks = ["n" if numeric[i] else "", "text" if len(text) > _LONG else ""]
            marks.append("empty" if text in ("", "-") else "")
            if i == verdict:
                low = text.lower()
                marks.append("good" if low.startswith("yes") else "bad" if low[:2] == "no" else "")
            cells.append(
                f'<td{_class(*marks)} data-label="{html.escape(columns[i])}">'
                f"{html.escape(text)}</td>"
            )
        changed = group is not None and before is not None and row[group] != before
        before = None if group is None else row[group]
        lines.append(f"<tr{_class('gap' if changed else '')}>{''.join(cells)}</tr>")
    label = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="wide"><table>{label}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _class(*names: str) -> str:
    used = " ".join(name for name in names if name)
    return f' class="{used}"' if used else ""


def _is_number(text: str) -> bool:
    return bool(re.match(r"^[-+±]?[\d.]|^-?$|^(never|none|diverges)$", text)) and len(text) < _LONG


def figure(
    draw: Callable[[Any], None], *, key: str, caption: str, size: tuple[float, float] = _SIZE
) -> str:
    """Return what a function draws into axes as inline SVG, with colours that follow the page.

    Parameters
    ----------
    draw : callable
        Gets matplotlib axes; takes its colours from `sdde.report_style.INK`.
    key : str
        Short name, unique on the page.
    caption : str
    size : tuple of float
        Inches.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    look: Any = {
        "svg.fonttype": "none", "svg.hashsalt": key, "text.parse_math": False,
        "font.size": 11.2, "text.color": INK["ink"], "axes.labelcolor": INK["ink"],
        "axes.edgecolor": INK["soft"], "xtick.color": INK["soft"], "ytick.color": INK["soft"],
        "axes.facecolor": "none", "figure.facecolor": "none", "savefig.facecolor": "none",
        "axes.spines.top": False, "axes.spines.right": False, "axes.labelsize": 11.2,
        "legend.frameon": False, "legend.fontsize": 10.8,
        "legend.labelcolor": INK["ink"], "axes.grid": True, "grid.color": INK["line"],
        "grid.linewidth": 0.6, "axes.axisbelow": True,
    }  # fmt: skip
    with mpl.rc_context(look):
        drawing = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(drawing)
        axes = drawing.add_subplot()
        draw(axes)
        shown = axes.get_legend_handles_labels()
        if shown[1]:
            columns = 2 if max(map(len, shown[1])) > _SHORT else 3
            drawing.legend(*shown, loc="outside lower left", ncols=columns)
        buffer = io.StringIO()
        drawing.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = themed(svg[svg.index("<svg") :], key)
    label = html.escape(caption)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    return f"<figure>{svg}<figcaption>{label}</figcaption></figure>"


def figures(items: Iterable[str]) -> str:
    """Return figures side by side where there is room."""
    return f'<div class="figures">{"".join(items)}</div>'


def page(title: str, blocks: Iterable[str], *, source: str = "") -> str:
    """Return the whole page."""
    above = f"<p>{html.escape(source)}</p>" if source else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<header>{above}<h1>{html.escape(title)}</h1></header>\n<main>\n"
        + "\n".join(blocks)
        + "\n</main>\n</body>\n</html>\n"
    )
