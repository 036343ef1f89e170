"""One self-contained HTML page: headings, paragraphs, tables and figures, nothing from the network.

Every text passes through `html.escape`, so that names from logs and files cannot become markup.
The page is readable on a phone and follows the reader's light or dark setting.
"""

import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --page: #ffffff; --line: #d8dee4;
        --good: #1a7f37; --bad: #b42318; --card: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9da7b3; --page: #0d1117; --line: #30363d; --good: #3fb950;
          --bad: #ff7b72; --card: #161b22; }
}
body { margin: 0 auto; max-width: 72rem; padding: 1.2rem; background: var(--page); color:
var(--ink);
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.4rem 0 0.8rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; border-bottom: 1px solid var(--line); }
p.answer { font-size: 1.15rem; background: var(--card); border-left: 4px solid var(--good);
           padding: 0.8rem 1rem; }
p.small, figcaption, caption { color: var(--soft); font-size: 0.9rem; text-align: left; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.88rem; }
th, td { padding: 0.25rem 0.6rem; text-align: right; border-bottom: 1px solid var(--line);
         white-space: nowrap; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
td.good { color: var(--good); } td.bad { color: var(--bad); font-weight: 600; }
figure { margin: 1rem 0; }
figure svg { width: 100%; height: auto; background: #ffffff; border-radius: 6px; }
pre { background: var(--card); padding: 0.8rem; overflow-x: auto; font-size: 0.85rem; }
"""


def heading(text: str) -> str:
    """Return a section heading."""
    return f"<h2>{html.escape(text)}</h2>"


def paragraph(text: str, *, style: str = "") -> str:
    """Return a paragraph; `style` is ``""``, ``"answer"`` or ``"small"``."""
    return f'<p class="{html.escape(style)}">{html.escape(text)}</p>'


def bullets(items: Iterable[str]) -> str:
    """Return an unordered list."""
    return "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>"


def preformatted(text: str) -> str:
    """Return text in a fixed-width block."""
    return f"<pre>{html.escape(text)}</pre>"


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    caption: str = "",
    verdict: int = -1,
) -> str:
    """Return a table; the column number `verdict` is coloured by whether it begins with "yes"."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = []
    for row in rows:
        cells = []
        for number, cell in enumerate(row):
            text = str(cell)
            mark = ("good" if text.startswith("yes") else "bad") if number == verdict else ""
            cells.append(f'<td class="{mark}">{html.escape(text)}</td>')
        body.append(f"<tr>{''.join(cells)}</tr>")
    label = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="wide"><table>{label}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def figure(drawing: Any, *, caption: str = "") -> str:
    """Return a matplotlib figure as inline SVG."""
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = buffer.getvalue()
    svg = text[text.index("<svg") :]
    label = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{svg}{label}</figure>"


def page(title: str, blocks: Iterable[str]) -> str:
    """Return the whole page."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n" + "\n".join(blocks) + "\n</body>\n</html>\n"
    )
