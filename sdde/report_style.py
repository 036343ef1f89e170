"""The look of pages: one style sheet, and colours that follow the reader's light or dark setting.

Figures are drawn in the colours of `INK`, which stand for names; `themed` puts the names in, so
that one drawing serves both settings. Nothing is fetched.
"""

import re

# Drawn colour: (name in the style sheet, light, dark). The drawn ones are seen by nobody.
_COLOURS = {
    "ink": ("#010101", "#1f2328", "#e6edf3"),
    "soft": ("#020202", "#59636e", "#9da7b3"),
    "line": ("#030303", "#d1d9e0", "#3d444d"),
    "page": ("#040404", "#ffffff", "#0d1117"),
    "blue": ("#050505", "#0969da", "#58a6ff"),
    "orange": ("#060606", "#bc4c00", "#f0883e"),
    "green": ("#070707", "#1a7f37", "#3fb950"),
    "red": ("#080808", "#cf222e", "#ff7b72"),
    "violet": ("#090909", "#8250df", "#bc8cff"),
}
INK = {name: drawn for name, (drawn, _, _) in _COLOURS.items()}


def _variables(which: int) -> str:
    return " ".join(f"--{name}: {shades[which]};" for name, shades in _COLOURS.items())


STYLE = f"""
:root {{ color-scheme: light dark; {_variables(1)} --card: #f6f8fa; }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(2)} --card: #161b22; }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; max-width: 74rem; padding: 1.25rem clamp(0.9rem, 3vw, 2.2rem) 3rem;
  background: var(--page); color: var(--ink); overflow-wrap: break-word;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }}
header p {{ margin: 0; color: var(--soft); font-size: 0.9rem; }}
h1 {{ font-size: clamp(1.35rem, 1rem + 1.6vw, 1.9rem); line-height: 1.25; margin: 0.2rem 0 1rem; }}
h2 {{ font-size: 1.2rem; line-height: 1.3; margin: 2.4rem 0 0.7rem; padding-bottom: 0.3rem;
  border-bottom: 1px solid var(--line); }}
p {{ max-width: 46rem; margin: 0.6rem 0; }}
p.answer {{ font-size: 1.12rem; max-width: none; background: var(--card); padding: 0.9rem 1.1rem;
  border-left: 4px solid var(--green); border-radius: 0 8px 8px 0; margin: 0 0 1rem; }}
p.answer.warning {{ border-left-color: var(--red); font-weight: 400; }}
p.caution {{ border-left: 4px solid var(--orange); padding-left: 0.8rem; font-weight: 600;
  margin-bottom: 0; }}
p.caution + ul {{ border-left: 4px solid var(--orange); margin-top: 0; padding-left: 2rem; }}
p.small, figcaption, caption {{ color: var(--soft); font-size: 0.88rem; text-align: left; }}
ul {{ max-width: 46rem; padding-left: 1.2rem; }} li {{ margin: 0.25rem 0; }}
dl.facts {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr));
  gap: 0.7rem; margin: 1rem 0; }}
dl.facts div {{ background: var(--card); border-radius: 8px; padding: 0.65rem 0.9rem; }}
dl.facts dt {{ color: var(--soft); font-size: 0.82rem; }}
dl.facts dd {{ margin: 0; font-size: 1.25rem; font-weight: 600; line-height: 1.3; }}
dl.facts dd small {{ display: block; font-size: 0.82rem; font-weight: 400; color: var(--soft); }}
div.figures {{ display: grid; gap: 1rem 1.6rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }}
figure {{ margin: 0.6rem 0; max-width: 32.5rem; }}
figure svg {{ display: block; width: 100%; height: auto; }}
figure svg text {{ font-family: inherit !important; }}
figcaption {{ margin-top: 0.3rem; }}
div.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.88rem;
  min-width: min(100%, 40rem); }}
th, td {{ padding: 0.35rem 0.7rem 0.35rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }}
th {{ color: var(--soft); font-weight: 600; }}
th.n, td.n {{ text-align: right; white-space: nowrap; padding-left: 0.7rem; }}
td.good {{ color: var(--green); font-weight: 600; }}
td.bad {{ color: var(--red); font-weight: 600; }}
tbody tr.gap td {{ border-top: 2px solid var(--soft); }}
pre {{ background: var(--card); padding: 0.8rem 1rem; overflow-x: auto; font-size: 0.85rem;
  border-radius: 8px; }}
details {{ margin: 0.8rem 0; }} summary {{ cursor: pointer; color: var(--blue); }}
@media (max-width: 46rem) {{
  table, tbody, tr, td {{ display: block; min-width: 0; }}
  thead {{ display: none; }}
  tr {{ border: 1px solid var(--line); border-radius: 8px; padding: 0.4rem 0.8rem;
    margin: 0.6rem 0; }}
  td, td.n {{ border: 0; display: flex; justify-content: space-between; gap: 1rem;
    text-align: right; padding: 0.15rem 0; white-space: normal; }}
  td::before {{ content: attr(data-label); color: var(--soft); text-align: left; flex: none;
    max-width: 50%; }}
  td.text {{ display: block; text-align: left; }}
  td.text::before {{ display: block; max-width: none; }}
  td.empty {{ display: none; }}
}}
@media print {{ body {{ max-width: none; }} figure, tr {{ break-inside: avoid; }} }}
"""


def themed(svg: str, key: str) -> str:
    """Return an SVG whose colours follow the page, and whose ids belong to `key` alone."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for name, drawn in INK.items():
        svg = svg.replace(drawn, f"var(--{name})")
    svg = re.sub(r'\bid="', f'id="{key}-', svg)
    svg = re.sub(r'href="#', f'href="#{key}-', svg)
    return re.sub(r"url\(#", f"url(#{key}-", svg)
