"""Pages of plans and comparisons: they load nothing, and no text from outside becomes markup."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import scipy.stats as st

import sdde
from sdde import cluster, report, theory
from sdde.report_style import INK, STYLE, themed

HOSTILE = "<script>alert(\"x\")</script> & $a_$ <img src=x onerror=alert(1)> 'quoted'"
VOID = {"meta", "br", "img", "link", "input", "path", "use"}


class Reader(HTMLParser):
    """Collects tags and attributes, and notices tags that are not closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attr) for attr in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attr) for attr in attrs]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read(text):
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


def hostile_trace():
    recorded = cluster.packaged_trace()
    data = {name: column[:600] for name, column in recorded.data.items()}
    names = [f"{HOSTILE} {number}" for number in range(recorded.workers)]
    return cluster.Trace(data, header={"machine": HOSTILE}, worker_names=names)


@pytest.fixture(scope="module")
def plan():
    objective = cluster.Quadratic([1.0, 0.4], noise=0.3, start=1.0)
    return theory.plan(
        objective, cluster.System(st.gamma(4, scale=0.25)), target_loss=0.02, learning_rate=0.04,
        max_workers=20,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pages(plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    never = theory.plan(
        plan.objective, plan.system, target_loss=1e-6, learning_rate=0.04, max_workers=4
    )
    methods = theory.plan(
        plan.objective, plan.system, target_loss=0.02, max_workers=4, learning_rate=0.1,
        methods=[cluster.AsyncSGD(), cluster.KSync(2)],
    )  # fmt: skip
    compared = sdde.compare(
        plan, runs=10, paths=10, workers=[plan.workers], rng=1, name=HOSTILE, command=HOSTILE,
        trace=hostile_trace(),
    )  # fmt: skip
    made = {
        "plan": plan.to_html(folder / "plan.html", name=HOSTILE, command=HOSTILE),
        "never": never.to_html(folder / "never.html", name=HOSTILE),
        "methods": methods.to_html(folder / "methods.html", name=HOSTILE),
        "compare": compared.to_html(folder / "compare.html"),
    }
    return {name: path.read_text(encoding="utf-8") for name, path in made.items()}


@pytest.mark.parametrize("name", ["plan", "never", "methods", "compare"])
def test_a_page_loads_and_runs_nothing(pages, name):
    """It must open without network, and text from outside must stay text."""
    reader = read(pages[name])
    assert not {"script", "img", "link", "iframe", "object", "embed"} & set(reader.tags)
    for tag, attribute, value in reader.attributes:
        assert not attribute.startswith("on"), (tag, attribute)
        assert attribute not in ("src", "srcset", "action"), (tag, attribute)
        if attribute in ("href", "xlink:href"):
            assert value.startswith("#")
    assert "@import" not in pages[name]
    assert not re.search(r"url\((?!#)", pages[name])
    assert HOSTILE in "".join(reader.words)


@pytest.mark.parametrize("name", ["plan", "never", "methods", "compare"])
def test_a_page_has_one_of_each_id_and_no_raw_colours(pages, name):
    """Several drawings on a page must not share definitions; colours follow the reader."""
    reader = read(pages[name])
    ids = [value for _, attribute, value in reader.attributes if attribute == "id"]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"url\(#([^)]+)\)", pages[name]))
    used |= {v[1:] for _, a, v in reader.attributes if a == "xlink:href"}
    assert used <= set(ids)
    drawn = "".join(re.findall(r"<svg.*?</svg>", pages[name], flags=re.DOTALL))
    assert "var(--ink)" in drawn
    assert not set(INK.values()) & set(re.findall("#[0-9a-f]{6}", drawn))
    assert "mathdefault" not in drawn


def test_the_answer_comes_first_and_an_impossible_plan_says_so(pages, plan):
    """One sentence that can be acted on, before any figure."""
    for name, begin in (("plan", f"Use {plan.workers} workers"), ("never", "No number of workers")):
        assert begin in pages[name].split("<svg")[0]


def test_a_comparison_shows_its_verdicts_and_how_to_make_it_again(pages):
    """What was compared, what is allowed and why, and the command with the seed."""
    words = "".join(read(pages["compare"]).words)
    for said in (
        "update rate", "staleness law", "loss curve", "time to target", "divergence limit",
        "seed = 1", sdde.__version__, "What the log of the real run says",
    ):  # fmt: skip
        assert said in words
    assert pages["compare"].count("<svg") == 4


def test_the_methods_of_a_plan_are_in_a_table(pages):
    """The reader sees what else was tried."""
    words = "".join(read(pages["methods"]).words)
    assert "KSync(k=2)" in words
    assert "AsyncSGD" in words


def test_a_log_without_versions_is_shown_for_what_it_holds(plan, tmp_path):
    """Durations tell no staleness; the page and the figure do without."""
    trace = cluster.Trace({"compute_time": np.array([1.0, 2.0, 1.5])})
    found = sdde.compare(plan, runs=4, paths=4, workers=[plan.workers], rng=1, trace=trace)
    page = found.to_html(tmp_path / "page.html").read_text()
    assert "What the log of the real run says" in page
    found.figure().savefig(tmp_path / "page.png")


def test_every_block_escapes_its_text():
    """Headings, paragraphs, lists, tables, facts, captions and titles."""
    blocks = [
        report.heading(HOSTILE), report.paragraph(HOSTILE), report.bullets([HOSTILE]),
        report.preformatted(HOSTILE), report.facts([(HOSTILE, HOSTILE, HOSTILE)]),
        report.table([HOSTILE], [[HOSTILE]], caption=HOSTILE), report.folded(HOSTILE, []),
        report.figure(lambda axes: axes.set_title(HOSTILE), key="x", caption=HOSTILE),
    ]  # fmt: skip
    reader = read(report.page(HOSTILE, blocks, source=HOSTILE))
    assert not {"script", "img"} & set(reader.tags)
    assert "".join(reader.words).count(HOSTILE) == 16


def test_columns_of_numbers_and_verdicts_are_told_apart():
    """Numbers stand at the right; a verdict has a colour; a card hides what is not there."""
    text = report.table(("name", "n", "ok"), [("a", 3, "yes"), ("b", "-", "NO")], verdict=2)
    assert text.count('<th class="n"') == 1
    assert '<td class="good" data-label="ok">yes</td>' in text
    assert '<td class="bad" data-label="ok">NO</td>' in text
    assert '<td class="n empty" data-label="n">-</td>' in text


def test_drawn_colours_become_names_of_the_style_sheet():
    """Each has a light and a dark value."""
    made = themed(f'<g id="a" style="fill: {INK["red"]}" clip-path="url(#b)"/>', "k")
    assert made == '<g id="k-a" style="fill: var(--red)" clip-path="url(#k-b)"/>'
    for name in INK:
        assert STYLE.count(f"--{name}:") == 2


def test_stability_is_mapped_below_the_divergence_limit():
    """One eigenvalue, constant cycles: the limit of n workers is 2 sin(pi / (2 (2 n - 1)))."""
    from sdde.theory.stability_map import stability_map

    objective = cluster.Quadratic(1.0, noise=0.3, start=1.0)
    plan = theory.plan(
        objective, cluster.System(1.0), target_loss=0.02, learning_rate=0.05, max_workers=10
    )
    found = stability_map(plan)
    exact = 2.0 * np.sin(np.pi / (2.0 * (2.0 * found.workers - 1.0)))
    np.testing.assert_allclose(found.divergence, exact, rtol=1e-6)
    assert (found.floor <= found.divergence).all()
    for count, rate in zip(found.workers, found.floor, strict=True):
        model = theory.model_of(
            objective, plan.system, workers=int(count), learning_rate=float(rate)
        )
        assert model.loss_floor() == pytest.approx(0.02, rel=0.05)


def test_pages_that_cannot_be_written_are_refused(plan):
    """One clear error."""
    with pytest.raises(sdde.ArgumentError, match="cannot be written"):
        plan.to_html("/no/such/folder/page.html")
