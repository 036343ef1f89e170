"""Pages of plans and comparisons in a headless browser: they show, and they load nothing.

`python -m experiments.check_pages [--out FOLDER] [PAGE.html ...]`. Opens each page at three widths,
light and dark, and takes a screenshot. A page fails if it writes to the console, asks for anything
but itself, is wider than the screen, or has text below nine pixels. Without pages it makes some,
one of them with names that try to be markup. Needs `playwright` and a Chromium (`--browser`).
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import scipy.stats

import sdde
from sdde import cluster, theory

WIDTHS = (360, 768, 1280)
SCHEMES = ("light", "dark")
SMALLEST = 9.0  # pixels of text
HOSTILE = '<script>alert("x")</script> & $a_$ "quoted" <img src=x onerror=alert(1)>'
_LOOK = """() => {
  const seen = [...document.querySelectorAll('body *')].filter(
    e => e.childNodes.length && [...e.childNodes].some(
      n => n.nodeType === 3 && n.textContent.trim()) && e.getClientRects().length);
  const size = e => {
    const drawn = e.closest('svg');
    const scale = drawn ? drawn.getScreenCTM().a : 1;
    return parseFloat(getComputedStyle(e).fontSize) * scale;
  };
  return {
    width: document.documentElement.scrollWidth,
    smallest: Math.min(...seen.map(size)),
    scripts: document.querySelectorAll('script, img, link, iframe').length,
    text: document.body.innerText,
  };
}"""


def make_pages(folder: Path) -> list[Path]:
    """Write a plan, a plan that is impossible, and a comparison, all with hostile names."""
    objective = cluster.Quadratic([1.0, 0.4], noise=0.3, start=1.0)
    system = cluster.System(scipy.stats.gamma(4, scale=0.25))
    plan = theory.plan(objective, system, target_loss=0.02, learning_rate=0.04)
    never = theory.plan(objective, system, target_loss=1e-6, learning_rate=0.04)
    choices = theory.plan(
        objective, system, target_loss=0.02, max_workers=24,
        methods=[cluster.AsyncSGD(), cluster.Synchronous(), cluster.KSync(4)],
    )  # fmt: skip
    compared = sdde.compare(
        plan, runs=40, paths=40, rng=1, name=HOSTILE, trace=_hostile_trace(), command=HOSTILE
    )
    return [
        plan.to_html(folder / "plan.html", name=HOSTILE, command=HOSTILE),
        never.to_html(folder / "never.html", name="nothing helps"),
        choices.to_html(folder / "methods.html", name="methods"),
        compared.to_html(folder / "compare.html"),
    ]


def _hostile_trace() -> cluster.Trace:
    """Return a short log whose header and workers try to be markup."""
    recorded = cluster.packaged_trace()
    data = {name: column[:800] for name, column in recorded.data.items()}
    names = tuple(f"{HOSTILE} {number}" for number in range(recorded.workers))
    return cluster.Trace(data, header={"machine": HOSTILE}, worker_names=names)


def faults_of(browser: Any, page: Path, out: Path) -> list[str]:
    """Open a page at all widths and schemes; return what is wrong with it."""
    faults = []
    for scheme in SCHEMES:
        for width in WIDTHS:
            where = f"{page.stem}, {width} pixels, {scheme}"
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme,
            )  # fmt: skip
            tab = context.new_page()
            said, asked = [], []
            tab.on("console", lambda message, said=said: said.append(message.text))
            tab.on("pageerror", lambda error, said=said: said.append(str(error)))
            tab.on("request", lambda request, asked=asked: asked.append(request.url))
            tab.goto(page.as_uri())
            look = tab.evaluate(_LOOK)
            tab.screenshot(path=out / f"{page.stem}-{width}-{scheme}.png", full_page=True)
            context.close()
            faults += [f"{where}: console: {text}" for text in said]
            faults += [f"{where}: asks for {url}" for url in asked if url != page.as_uri()]
            if look["width"] > width:
                faults.append(f"{where}: {look['width']} pixels wide")
            if look["smallest"] < SMALLEST:
                faults.append(f"{where}: text of {look['smallest']:.1f} pixels")
            if look["scripts"]:
                faults.append(f"{where}: {look['scripts']} elements that load or run something")
            if any(sign in look["text"] for sign in ("var(--", "#0101", "mathdefault")):
                faults.append(f"{where}: shows its own machinery")
    return faults


def main(arguments: list[str] | None = None) -> int:
    """Check pages; 0 means PASS."""
    parser = argparse.ArgumentParser(prog="python -m experiments.check_pages")
    parser.add_argument("pages", nargs="*", type=Path, help="pages to check (default: make some)")
    parser.add_argument("--out", type=Path, help="folder for screenshots")
    parser.add_argument("--browser", default="/usr/bin/chromium", help="a Chromium")
    options = parser.parse_args(arguments)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("FAIL: pip install playwright, and a Chromium, for example apt install chromium")
        return 1
    out = options.out or Path(tempfile.mkdtemp())
    out.mkdir(parents=True, exist_ok=True)
    pages = [page.resolve() for page in options.pages] or make_pages(out)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=options.browser, args=["--no-sandbox", "--disable-gpu"]
        )
        faults = [fault for page in pages for fault in faults_of(browser, page, out)]
        browser.close()
    for fault in faults:
        print(fault)
    views = len(pages) * len(WIDTHS) * len(SCHEMES)
    print(f"{'FAIL' if faults else 'PASS'}: {views} views, {len(faults)} faults, shots in {out}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
