"""The page in a real headless browser: what a visitor does, and what they then see."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.model_server.page.conftest import FakeRest, Site, png

RED = png(250, 10, 10)


def as_file(name: str, data: bytes = RED, kind: str = "image/png") -> dict[str, Any]:
    return {"name": name, "mimeType": kind, "buffer": data}


def choose(page: Page, *files: dict[str, Any]) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose pictures").click()
    assert chooser.value.is_multiple()
    chooser.value.set_files(list(files))


def send_files(page: Page, event: str, data: bytes) -> bool:
    """Drops or pastes a file as a browser does: with a DataTransfer.

    Returns whether the page left it to the browser, which would go and open a dropped file.
    """
    return page.evaluate(
        """([event, data]) => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "hand.png", { type: "image/png" }));
            const init = { bubbles: true, cancelable: true };
            return document.getElementById("drop").dispatchEvent(
                event === "paste"
                    ? new ClipboardEvent(event, { ...init, clipboardData: transfer })
                    : new DragEvent(event, { ...init, dataTransfer: transfer }),
            );
        }""",
        [event, base64.b64encode(data).decode()],
    )


def expect_server(page: Page, text: str) -> None:
    """The page looks every few seconds, and when it is seen again: that is sooner."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#server")).to_have_text(text)


def expect_answer(page: Page, digit: str, told: str = "") -> None:
    expect(page.locator("#class")).to_have_text(digit)
    expect(page.locator("#told")).to_contain_text(told)


# --- Five ways in ---------------------------------------------------------------------------------


def test_a_chosen_file_is_answered(page: Page, site: Site) -> None:
    expect(page.get_by_text("The answer to your picture appears here.")).to_be_visible()
    choose(page, as_file("hand.png"))
    expect_answer(page, "0", "hand.png: 0, 95.0 %. v3 · ")
    expect(page.locator("#sureness")).to_have_text("95.0 %")
    bars = page.get_by_role("list", name="Probability of each class").get_by_role("listitem")
    assert [" ".join(text.split()) for text in bars.all_inner_texts()] == [
        *("0 90.0 %", "1 2.0 %", "2 2.0 %", "3 2.0 %", "4 2.0 %", "5 2.0 %"),
    ]
    track = page.locator("#bars .track").first.bounding_box()
    fill = page.locator("#bars .fill").first.bounding_box()
    assert track and fill
    assert fill["width"] / track["width"] == pytest.approx(0.9, abs=0.01)
    facts = page.locator("#facts").inner_text()
    assert facts.startswith("v3 · ") and facts.endswith(" ms")
    assert site.rest.paths[-1] == "/v1/models/signs/versions/3:predict"


def test_a_dropped_file_is_answered(page: Page) -> None:
    send_files(page, "dragenter", RED)
    expect(page.locator("body")).to_have_class("dragging")
    assert not send_files(page, "dragover", RED)
    assert not send_files(page, "drop", RED)
    expect(page.locator("body")).not_to_have_class("dragging")
    expect_answer(page, "0", "hand.png: 0")


def test_a_pasted_picture_is_answered(page: Page) -> None:
    send_files(page, "paste", png(0, 0, 99))
    expect_answer(page, "2")


def test_an_example_is_answered(page: Page) -> None:
    page.get_by_role("button", name="Example of 1").click()
    expect_answer(page, "1", "Example of 1: 1")


def test_the_camera(page: Page, site: Site) -> None:
    page.get_by_role("button", name="Use the camera").click()
    dialog = page.get_by_role("dialog", name="Camera")
    expect(dialog).to_be_visible()
    expect(page.locator("video")).to_have_js_property("videoWidth", 640)
    page.get_by_role("button", name="Take the picture").click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#told")).to_contain_text("camera: ")
    assert site.rest.pictures[0].size == (640, 480)
    # It is off again.
    expect(page.locator("video")).to_have_js_property("srcObject", None)


def test_the_camera_closed_by_the_escape_key(page: Page, site: Site) -> None:
    page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="Use the camera")).to_be_focused()
    expect(page.locator("video")).to_have_js_property("srcObject", None)
    assert site.rest.pictures == []


def test_where_the_camera_is_not_allowed(page: Page) -> None:
    page.evaluate(
        """() => {
            navigator.mediaDevices.getUserMedia = async () => {
                throw new DOMException("no", "NotAllowedError");
            };
        }"""
    )
    page.get_by_role("button", name="Use the camera").click()
    expect(page.locator("#reason")).to_have_text("The browser was not allowed to use the camera.")


def test_where_browsers_hide_the_camera_a_phone_takes_the_picture(page: Page) -> None:
    """As on http:// from another machine."""
    page.evaluate("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Use the camera").click()
    assert chooser.value.element.get_attribute("capture") == "environment"
    chooser.value.set_files(as_file("phone.png"))
    expect_answer(page, "0", "phone.png")


def test_several_pictures_in_a_row(page: Page, site: Site) -> None:
    choose(page, as_file("a"), as_file("b", b"no picture"), as_file("c", png(0, 9, 0)))
    expect_answer(page, "1", "c: 1")
    so_far = page.get_by_role("region", name="Pictures so far").get_by_role("button")
    assert [" ".join(text.split()) for text in so_far.all_inner_texts()] == [
        *("1 c", "failed b", "0 a"),
    ]
    so_far.nth(2).click()
    expect_answer(page, "0")
    expect(so_far.nth(2)).to_have_attribute("aria-pressed", "true")
    so_far.nth(1).click()
    expect(page.locator("#reason")).to_have_text(
        "This is not a picture, or none that this browser can read."
    )
    assert len(site.rest.pictures) == 2


def test_the_same_file_twice(page: Page) -> None:
    for count in (1, 2):
        choose(page, as_file("hand.png"))
        expect(page.locator("#history li")).to_have_count(count)
        # Else the browser would take the second time for no change.
        expect(page.locator("#files")).to_have_value("")


# --- What is sent ---------------------------------------------------------------------------------


def jpeg(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_a_small_picture_keeps_its_pixels(page: Page, site: Site) -> None:
    picture = Image.effect_noise((64, 48), 80).convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    choose(page, as_file("noise.png", buffer.getvalue()))
    expect(page.locator("#told")).to_contain_text("noise.png: ")
    (sent,) = site.rest.pictures
    assert sent.format == "PNG"
    assert sent.convert("RGB").tobytes() == picture.tobytes()


def test_a_huge_photograph_is_made_smaller_and_upright(page: Page, site: Site) -> None:
    photograph = Image.new("RGB", (4000, 3000), (0, 200, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the phone upright
    choose(page, as_file("photo.jpg", jpeg(photograph, exif=exif), "image/jpeg"))
    expect_answer(page, "1")
    (sent,) = site.rest.pictures
    assert (sent.format, sent.size) == ("JPEG", (768, 1024))
    assert not sent.getexif().get(0x0112)


def test_transparent_is_white(page: Page, site: Site) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(buffer, "PNG")
    choose(page, as_file("clear.png", buffer.getvalue()))
    expect_answer(page, "0")
    assert site.rest.pictures[0].convert("RGB").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["WEBP", "GIF", "BMP"])
def test_formats_that_the_model_does_not_read(page: Page, site: Site, kind: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (0, 0, 255)).save(buffer, kind)
    choose(page, as_file(f"hand.{kind}", buffer.getvalue(), "image/*"))
    expect_answer(page, "2")
    assert site.rest.pictures[0].format == "PNG"


# --- Answers --------------------------------------------------------------------------------------


def test_not_sure(page: Page, site: Site) -> None:
    """However probable the class is: it is the model that says so."""
    site.rest.more["known"] = False
    choose(page, as_file("hand.png"))
    expect_answer(page, "not sure", "hand.png: not sure, perhaps 0. v3 · ")
    expect(page.locator("#sureness")).to_have_text("perhaps 0")
    expect(page.locator("#history .class").first).to_have_text("not sure")
    expect(page.get_by_text("“Not sure” is the model's answer to")).to_be_visible()
    site.rest.more["known"] = True
    site.rest.more["confidence"] = 0.31
    page.get_by_role("button", name="Example of 0").click()
    expect_answer(page, "0", "Example of 0: 0, 31.0 %")


def test_every_bar_has_its_name(page: Page, site: Site) -> None:
    site.rest.more["classes"] = ["zero", "one", "two", "three", "four", "<b>five</b>"]
    choose(page, as_file("hand.png"))
    expect_answer(page, "0")
    names = page.locator("#bars .name").all_inner_texts()
    assert names == ["zero", "one", "two", "three", "four", "<b>five</b>"]


def test_a_model_that_does_not_tell_how_sure_it_is(page: Page, site: Site) -> None:
    """As an earlier release exported it, or somebody else."""
    site.rest.more.clear()
    site.rest.probability = 0.25
    choose(page, as_file("hand.png"))
    expect_answer(page, "0", "hand.png: 0, 25.0 %. v3 · ")
    assert page.locator("#bars .name").all_inner_texts() == [*"012345"]


class ManyClasses(FakeRest):
    def predict(self, version: int, body: bytes) -> tuple[int, Any]:
        probabilities = [0.001] * 120
        probabilities[77], probabilities[5] = 0.8, 0.05
        answer = {"probabilities": probabilities, "class_id": 77, "class_name": "thumbs <b>up</b>"}
        return 200, {"predictions": [answer]}


def test_a_model_with_many_classes_that_have_names(page: Page, site: Site) -> None:
    site.rest = ManyClasses()
    choose(page, as_file("hand.png"))
    expect_answer(page, "thumbs <b>up</b>")
    names = page.locator("#bars .name").all_inner_texts()
    assert (len(names), names[:2]) == (10, ["thumbs <b>up</b>", "5"])


def test_a_newer_version_takes_over(page: Page, site: Site) -> None:
    expect_server(page, "v3")
    site.rest.versions = [(10, "AVAILABLE"), (9, "AVAILABLE"), (3, "UNLOADING")]
    choose(page, as_file("hand.png"))
    expect(page.locator("#facts")).to_contain_text("v10 · ")
    expect(page.locator("#server")).to_have_text("v10, the newest of 2")


class Replaced(FakeRest):
    """Version 3 goes between being seen and being asked."""

    def predict(self, version: int, body: bytes) -> tuple[int, Any]:
        self.versions = [(4, "AVAILABLE")]
        return super().predict(version, body)


def test_a_version_that_goes_meanwhile(page: Page, site: Site) -> None:
    site.rest = Replaced()
    choose(page, as_file("hand.png"))
    expect(page.locator("#facts")).to_contain_text("v4 · ")


# --- When something goes wrong --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "This file is empty."),
        (b"hello", "This is not a picture, or none that this browser can read."),
        (RED[:-30], "This is not a picture, or none that this browser can read."),
    ],
)
def test_no_picture(page: Page, site: Site, data: bytes, reason: str) -> None:
    choose(page, as_file("x.png", data))
    expect(page.locator("#reason")).to_have_text(reason)
    expect(page.locator("#told")).to_have_text(f"x.png: {reason}")
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    assert site.rest.pictures == []


def test_a_file_that_is_too_large(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "big.jpg"
    with path.open("wb") as file:
        file.truncate(51 * 2**20)
    page.locator("#files").set_input_files(path)
    expect(page.locator("#reason")).to_have_text(
        "This file is too large: 51 MB, where 50 MB are the most."
    )


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ((400, "Unknown image"), "The server refused the picture: Unknown image"),
        ((413, ""), "The picture is too large for the server."),
        ((429, "full"), "The server is busy. Try again in a moment."),
        ((503, "full"), "The server is busy. Try again in a moment."),
        ((504, "late"), "The model did not answer in time. Try again in a moment."),
    ],
)
def test_the_server_refuses(page: Page, site: Site, failure: tuple[int, str], reason: str) -> None:
    site.rest.failure = failure
    choose(page, as_file("hand.png"))
    expect(page.locator("#reason")).to_have_text(reason)
    site.rest.failure = None
    page.get_by_role("button", name="Try again").click()
    expect_answer(page, "0", "hand.png: 0")
    expect(page.locator("#history li")).to_have_count(1)


def test_the_model_is_loading(page: Page, site: Site) -> None:
    site.rest.versions = [(1, "LOADING")]
    expect_server(page, "loading …")
    choose(page, as_file("hand.png"))
    expect(page.locator("#reason")).to_have_text(
        "The model is still loading. Try again in a moment."
    )
    site.rest.versions = [(1, "AVAILABLE")]
    expect_server(page, "v1")


def test_no_such_model(page: Page, site: Site) -> None:
    site.rest.versions = []
    expect_server(page, "no such model")
    choose(page, as_file("hand.png"))
    expect(page.locator("#reason")).to_have_text(
        "The server has no model “signs” that is ready. It says: Could not find any versions of "
        "model signs"
    )


def test_the_server_is_gone(page: Page) -> None:
    page.route("**/v1/**", lambda route: route.abort("connectionrefused"))
    expect_server(page, "the server does not answer")
    choose(page, as_file("hand.png"))
    expect(page.locator("#reason")).to_have_text("The server does not answer. Is it still running?")
    page.unroute("**/v1/**")
    expect_server(page, "v3")
    page.get_by_role("button", name="Try again").click()
    expect_answer(page, "0")


def test_an_example_of_a_server_that_is_gone(page: Page) -> None:
    page.route("**/page/examples/1", lambda route: route.abort("connectionrefused"))
    page.get_by_role("button", name="Example of 1").click()
    expect(page.locator("#reason")).to_have_text("The server does not answer. Is it still running?")
    page.unroute("**/page/examples/1")
    page.get_by_role("button", name="Try again").click()
    expect_answer(page, "1", "Example of 1: 1")
    expect(page.locator("#history li")).to_have_count(1)


def test_the_picture_is_kept_while_the_server_is_gone(page: Page, site: Site) -> None:
    page.route("**/v1/**", lambda route: route.abort("connectionrefused"))
    choose(page, as_file("hand.png", png(0, 250, 0)))
    expect(page.locator("#reason")).to_be_visible()
    assert page.locator("#picture").evaluate("image => image.decode().then(() => image.width)")
    # Others may be asked meanwhile; it is still there.
    page.unroute("**/v1/**")
    page.get_by_role("button", name="Example of 2").click()
    expect_answer(page, "2")
    page.get_by_role("button", name="failed hand.png").click()
    page.get_by_role("button", name="Try again").click()
    expect_answer(page, "1", "hand.png: 1")


@pytest.mark.parametrize(
    ("code", "shown", "reason"),
    [
        (401, "the server asks for a token", "The server asks for a token: load the page again"),
        (421, "the server refuses (421)", "The server refused the picture: not so"),
    ],
)
def test_who_may_not_ask(page: Page, code: int, shown: str, reason: str) -> None:
    answer = {"status": code, "body": '{"error": "not so"}'}
    page.route("**/v1/**", lambda route: route.fulfill(**answer))
    expect_server(page, shown)
    choose(page, as_file("hand.png"))
    expect(page.locator("#reason")).to_contain_text(reason)
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_an_answer_that_is_none(page: Page) -> None:
    page.route("**/*:predict", lambda route: route.fulfill(body='{"predictions": [[NaN]]}'))
    choose(page, as_file("hand.png"))
    expect(page.locator("#reason")).to_have_text("The server's answer cannot be read.")
    page.unroute("**/*:predict")
    page.route("**/*:predict", lambda route: route.fulfill(body='{"predictions": [[1.0]]}'))
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#reason")).to_have_text(
        "The model answered, but not with the probabilities of classes."
    )


# --- For everyone ---------------------------------------------------------------------------------


def test_with_the_keyboard_alone(page: Page) -> None:
    """Each stop is visible, and in the order of the page."""
    stops = []
    for _ in range(5):
        page.keyboard.press("Tab")
        stops.append(
            page.evaluate(
                "document.activeElement.textContent.trim()"
                " || document.activeElement.querySelector('img').alt"
            )
        )
        assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
    assert stops == [
        *("Choose pictures", "Use the camera", "Example of 0", "Example of 1", "Example of 2"),
    ]
    page.keyboard.press("Enter")
    expect_answer(page, "2", "Example of 2: 2")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"


def test_what_a_screen_reader_finds(page: Page) -> None:
    page.get_by_role("button", name="Example of 1").click()
    expect(page.locator("#told")).to_contain_text("Example of 1: 1, 95.0 %.")
    expect(page.locator("body")).to_match_aria_snapshot("""
- banner:
  - heading "signs" [level=1]
  - status: v3
- main:
  - region "Show the model a picture":
    - heading "Show the model a picture" [level=2]
    - paragraph: Drop pictures here, or paste one
    - button "Choose pictures"
    - button "Use the camera"
    - heading "Or try an example" [level=3]
    - list:
      - listitem:
        - button "Example of 0"
      - listitem:
        - button "Example of 1"
      - listitem:
        - button "Example of 2"
  - region "Answer":
    - heading "Answer" [level=2]
    - figure "Example of 1":
      - img "Example of 1"
      - text: Example of 1
    - paragraph: "1"
    - paragraph: 95.0 %
    - list "Probability of each class":
      - listitem: 0 2.0 %
      - listitem: 1 90.0 %
      - listitem: 2 2.0 %
      - listitem: 3 2.0 %
      - listitem: 4 2.0 %
      - listitem: 5 2.0 %
    - paragraph: /v3 · \\d+ ms/
    - status: /Example of 1. 1, 95.0 %. v3 · \\d+ ms./
  - region "Pictures so far":
    - heading "Pictures so far" [level=2]
    - list:
      - listitem:
        - button "1 Example of 1" [pressed]
- contentinfo:
  - paragraph: “Not sure” is the model's answer to a picture unlike those that it was trained on.
""")
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.title() == "signs: try the model"


CONTRASTS = """() => {
    const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const back = (element) => {
        for (let e = element; e; e = e.parentElement) {
            const colour = parse(getComputedStyle(e).backgroundColor);
            if (colour.length === 3 || colour[3] > 0) return colour;
        }
    };
    const luminance = (colour) => {
        const [r, g, b] = colour.slice(0, 3).map((c) => {
            c /= 255;
            return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const found = {};
    for (const e of document.querySelectorAll("body *")) {
        const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
        if (!own || !e.checkVisibility()) continue;
        const pair = [luminance(parse(getComputedStyle(e).color)), luminance(back(e))];
        found[e.id || e.className || e.tagName] =
            (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    }
    return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(page: Page, scheme: Any) -> None:
    """WCAG AA asks for 4.5 to 1."""
    page.emulate_media(color_scheme=scheme)
    backs = {"light": "rgb(245, 245, 249)", "dark": "rgb(18, 18, 24)"}
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == backs[scheme]
    choose(page, as_file("hand.png"))
    expect_answer(page, "0")
    contrasts = page.evaluate(CONTRASTS)
    choose(page, as_file("hand.png", b"none"))
    expect(page.locator("#reason")).to_be_visible()
    contrasts |= page.evaluate(CONTRASTS)
    assert {"H1", "server", "choose", "class", "sureness", "facts", "reason"} <= set(contrasts)
    assert {name: ratio for name, ratio in contrasts.items() if ratio < 4.5} == {}


def test_nothing_moves_where_that_is_not_wanted(page: Page) -> None:
    choose(page, as_file("hand.png"))
    expect_answer(page, "0")
    animation = "getComputedStyle(document.querySelector('.fill')).animationName"
    assert page.evaluate(animation) == "none"
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(animation) == "grow"


def test_on_a_phone(browser: Browser, site: Site) -> None:
    context = browser.new_context(
        viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(site.url)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    expect(page.get_by_text("Drop pictures here, or paste one")).to_be_hidden()
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        assert box and box["height"] >= 44 and box["width"] >= 44
    page.get_by_role("button", name="Example of 1").tap()
    expect_answer(page, "1")
    expect(page.locator("#class")).to_be_in_viewport(ratio=1)
    expect(page.locator("#bars li").last).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    context.close()


def test_the_policy_holds_back_what_is_not_ours(browser: Browser, site: Site) -> None:
    """Even a script within the page cannot reach another server."""
    page = browser.new_page()
    page.goto(site.url)
    refused = page.evaluate(
        """fetch("http://127.0.0.1:1/").then(() => "sent", (error) => error.name)"""
    )
    assert refused == "TypeError"
    image = page.evaluate(
        """new Promise((resolve) => {
            addEventListener("securitypolicyviolation", (e) => resolve(e.effectiveDirective));
            new Image().src = "http://127.0.0.1:1/x.png";
        })"""
    )
    assert image == "img-src"
    page.close()
