"""The page in a real browser: it fits a phone, asks for nothing, and reads in the dark."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.report.page import page
from tests.browser.chromium import Browser
from tests.runner.report import documents
from tests.runner.report.documents import Document

LONG = "W" * 300  # a name without a place to break
HOSTILE = "</pre><script>document.title='owned'</script><img src=http://evil.example/x onerror=1>"

MAKERS: dict[str, Callable[[], Document]] = {
    **documents.ALL,
    **{
        f"{name}, {kind}": lambda make=make, text=text: documents.everywhere(make(), text)
        for name, make in documents.ALL.items()
        for kind, text in (("long", LONG), ("hostile", HOSTILE))
    },
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.mark.parametrize("width", [320, 375, 1280])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_page_fits_is_quiet_and_asks_for_nothing(
    browser: Browser, tmp_path: Path, make: Callable[[], Document], width: int
) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(make()))
    browser.show(path, width=width)
    assert browser.value("innerWidth") == width
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.complaints() == []
    assert browser.requests() == [path.as_uri()]
    assert browser.value("document.title") != "owned"


def test_everything_that_is_wider_than_its_box_scrolls_inside_it(
    browser: Browser, tmp_path: Path
) -> None:
    """Nothing is cut off: what sticks out of its box is in one that scrolls."""
    path = tmp_path / "page.html"
    for make in documents.ALL.values():
        path.write_text(page(make()))
        browser.show(path, width=375)
        cut = """[...document.querySelectorAll('body *')].filter(found =>
            found.scrollWidth > found.clientWidth + 1 && found.clientWidth > 1
            && getComputedStyle(found).display !== 'inline'
            && getComputedStyle(found).overflowX !== 'auto').map(found => found.outerHTML)"""
        assert browser.value(cut) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Browser, tmp_path: Path, scheme: str) -> None:
    """Contrast of all text is at least 4.5 to 1, as WCAG's level AA asks."""
    path = tmp_path / "page.html"
    for make in documents.ALL.values():
        path.write_text(page(make()))
        browser.show(path, width=1280, scheme=scheme)
        assert browser.value(_FAINT) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_who_hears_a_page_or_has_no_mouse_misses_nothing(
    browser: Browser, tmp_path: Path, scheme: str, width: int
) -> None:
    """Axe finds nothing to object to, in any rule that it has."""
    package = importlib.util.find_spec("axe_core_python")
    assert package
    assert package.origin
    axe = Path(package.origin).with_name("axe.min.js").read_text()
    path, found = tmp_path / "page.html", {}
    for name, make in documents.ALL.items():
        path.write_text(page(make()))
        browser.show(path, width=width, scheme=scheme)
        browser.value(axe)
        violations = """axe.run().then(found => found.violations.map(
            rule => [rule.id, ...rule.nodes.map(node => node.html)]))"""
        found[name] = browser.value(violations)
        assert browser.value("axe.run().then(found => found.passes.length)") > 5
    assert {name: rules for name, rules in found.items() if rules} == {}


def test_dark_is_dark_and_light_is_light(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(documents.run()))
    ground = "Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"
    browser.show(path, width=1280, scheme="light")
    assert browser.value(ground) > 200
    browser.show(path, width=1280, scheme="dark")
    assert browser.value(ground) < 50


_FAINT = """(() => {
    const parts = text => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = found => {
        for (; found; found = found.parentElement) {
            const colour = parts(getComputedStyle(found).backgroundColor);
            if (colour.length < 4 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll('body *')]
        .filter(found => [...found.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
        .map(found => {
            const [a, b] = [light(parts(getComputedStyle(found).color)), light(ground(found))];
            return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), found.outerHTML];
        })
        .filter(([ratio]) => ratio < 4.5);
})()"""
