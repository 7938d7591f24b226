"""The live page in a real browser: headless Chromium, driven with selenium."""

import os
import re
import shutil

import pytest

from tests.examples.conftest import PATIENCE_S, wait_until

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install selenium")

BROWSER = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
DRIVER = next(filter(None, map(shutil.which, ["chromedriver", "chromium.chromedriver"])), None)
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs Chromium and its driver: apt-get install chromium chromium-driver"
)
TEXTS = "h1, h2, p, dt, dd, dd small, button, button span, th, td"
# Colours as they are seen: of each text, and of the first background behind it that is there.
COLOURS = """
const colours = value => value.match(/[\\d.]+/g).map(Number);
return [...document.querySelectorAll(arguments[0])].map(element => {
  let behind = element, found;
  while ((found = colours(getComputedStyle(behind).backgroundColor)).length === 4) behind = behind.parentElement;
  return [element.textContent.trim(), colours(getComputedStyle(element).color), found];
});
"""


@pytest.fixture(scope="module")
def chromium():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.add_argument("--headless=new")
    options.add_argument("--disable-dev-shm-usage")
    options.add_argument("--force-prefers-reduced-motion")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    browser = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    browser.set_script_timeout(PATIENCE_S)
    browser.set_page_load_timeout(PATIENCE_S)
    yield browser
    browser.quit()


class Page:
    """The live page as it is shown."""

    def __init__(self, browser, url):
        self.browser = browser
        browser.get(url)
        wait_until(lambda: self.text("#viewers").endswith("viewer"), "the first event")

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def text(self, selector):
        return self.all(selector)[0].text

    def number(self, selector):
        """Return the first number in the text of an element."""
        return float(re.search(r"[\d.]+", self.text(selector))[0])

    def burst(self, path):
        """Send a burst; return the numbers of its row."""
        rows = len(self.all("#bursts tr"))
        self.all(f'[data-path="{path}"]')[0].click()
        wait_until(lambda: len(self.all("#bursts tr")) > rows, f"the burst of {path}")
        name, *numbers = self.text("#bursts tr").split()
        assert name == path
        return dict(zip(["answered", "seconds", "hops", "started", "threads"], map(float, numbers), strict=True))

    def heights(self, name):
        """Return the points of a figure's curve, downwards."""
        points = f"return document.querySelector('div:has(#{name}) polyline').getAttribute('points')"
        return [float(point.split(",")[1]) for point in self.browser.execute_script(points).split()]

    def emulate(self, command, **parameters):
        self.browser.execute_cdp_cmd(f"Emulation.{command}", parameters)


@pytest.fixture
def page(chromium, onehop):
    chromium.get_log("browser")
    shown = Page(chromium, onehop.url)
    yield shown
    chromium.get("about:blank")
    assert [entry["message"] for entry in chromium.get_log("browser")] == []
    wait_until(lambda: onehop.figures()["viewers"] == 0, "the end of the stream")


def test_a_burst_of_async_requests_moves_the_figures_but_starts_no_thread(page):
    answered, threads = page.number("#answered"), page.number("#threads")

    burst = page.burst("/async/")

    assert (burst["answered"], burst["hops"], burst["started"]) == (50, 0, 0)
    assert page.text("#status").startswith("50 of 50 requests to /async/ were answered")
    assert page.number("#answered") == answered + 50
    assert page.number("#threads") <= threads
    assert page.number("#most_in_flight") > 6  # more than a browser sends to one name
    for name in ("in_flight", "requests_per_s"):
        heights = page.heights(name)
        assert len(heights) > 2
        assert 0 < min(heights) < max(heights) <= 20


def test_a_burst_of_sync_requests_hops_once_each_on_a_thread_each(page):
    hops = page.number("#hops")

    burst = page.burst("/sync/")

    assert (burst["answered"], burst["hops"]) == (50, 1)
    assert page.number("#hops") == hops + 50
    assert burst["threads"] > 6
    wait_until(lambda: page.text("#in_flight") == "0", "the end of all requests")


def test_a_burst_on_pools_starts_three_threads_each(page):
    burst = page.burst("/pool/")

    assert (burst["answered"], burst["hops"]) == (50, 1)
    assert burst["started"] >= 150


def test_a_page_that_was_left_lets_its_stream_go_and_takes_another_when_it_comes_back(page, onehop):
    page.browser.get("about:blank")
    wait_until(lambda: onehop.figures()["viewers"] == 0, "the end of the stream")

    page.browser.back()

    wait_until(lambda: onehop.figures()["viewers"] == 1, "a new stream")


def test_stock_django_shows_its_hops(chromium, stock):
    burst = Page(chromium, stock.url).burst("/async/")

    assert burst["answered"] == 50
    assert burst["hops"] >= 10


def test_all_text_is_readable_in_light_and_dark(page):
    page.burst("/async/")
    for scheme in ("light", "dark"):
        page.emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

        texts = page.browser.execute_script(COLOURS, TEXTS)

        assert len(texts) > 20
        assert (luminance(texts[0][2]) > 0.5) == (scheme == "light")
        assert [(text, ratio) for text, ink, paper in texts if (ratio := contrast(ink, paper)) < 4.5] == []


def contrast(*colours):
    """Return the contrast of two colours, from 1 to 21, as WCAG 2.2 defines it."""
    darker, lighter = sorted(map(luminance, colours))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour):
    parts = [part / 255 for part in colour]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_nothing_is_wider_than_the_screen(page):
    try:
        for width in (320, 768):
            page.emulate("setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=True)
            assert page.browser.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        page.emulate("clearDeviceMetricsOverride")


def test_buttons_work_from_the_keyboard_and_keep_the_focus(page):
    keys = webdriver.Keys
    chain = webdriver.ActionChains(page.browser)
    chain.send_keys(keys.TAB, keys.ENTER).perform()

    wait_until(lambda: page.all("#bursts tr"), "the burst")

    wait_until(lambda: page.browser.switch_to.active_element.get_attribute("data-path") == "/async/", "the focus")
