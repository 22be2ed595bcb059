"""Conversations taken away as files, and brought in again, through the dialog."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Download, Locator, expect

from e2e.chat_page import ChatPage
from e2e.conftest import OpenChat
from e2e.scripted_model import script
from e2e.stack import Stack
from e2e.test_access import AXE, violations
from e2e.test_list import ListPage
from e2e.test_words import LATIN, NAMES

FIXTURES = Path(__file__).parent.parent / "frontend" / "tests" / "fixtures" / "transfer"

# The titles of all conversations that are kept, and how many messages they have.
KEPT = """async () => {
    const { Store } = await import(new URL("js/store.js", document.baseURI));
    const store = new Store(`burble ${new URL(".", document.baseURI).pathname}`);
    await store.open();
    const kept = {};
    for (const { id, title } of await store.conversations()) kept[title] = (await store.messages(id)).length;
    store.close();
    return kept;
}"""


def open_dialog(chat: ChatPage) -> Locator:
    """Open the dialog of all conversations, from the list, wherever that stands."""
    button = chat.page.locator("#list .transfer")
    if not button.is_visible():
        chat.page.locator("#show-list").click()
    button.click()
    dialog = chat.page.locator(".transfer-dialog")
    expect(dialog).to_be_visible()
    return dialog


def open_for(chat: ChatPage, title: str) -> Locator:
    """Open the dialog of one conversation, from its menu."""
    ListPage(chat).choose(title, "Export")
    dialog = chat.page.locator(".transfer-dialog")
    expect(dialog).to_be_visible()
    return dialog


def kept(chat: ChatPage) -> dict[str, int]:
    """Return the titles of the conversations in the browser, each with how many messages it has."""
    found: dict[str, int] = chat.page.evaluate(KEPT)
    return found


def download(chat: ChatPage, name: str) -> Download:
    with chat.page.expect_download() as started:
        chat.page.get_by_role("button", name=name, exact=True).click()
    return started.value


def choose(chat: ChatPage, *files: Any, button: str = "Choose a file") -> None:
    with chat.page.expect_file_chooser() as chooser:
        chat.page.get_by_role("button", name=button).click()
    chooser.value.set_files(list(files) if len(files) > 1 else files[0])


def drop(dialog: Locator, name: str, text: str) -> None:
    """Drop a file on the dialog, as a drag from elsewhere does."""
    dialog.evaluate(
        """(dialog, [name, text]) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([text], name));
            const at = dialog.querySelector("h2");
            for (const type of ["dragenter", "dragover", "drop"]) {
                at.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
            }
        }""",
        [name, text],
    )


def spoiled(count: int) -> str:
    """An export of ours in which all but the last conversation are wrong, each with a title."""
    fixture = json.loads((FIXTURES / "llama_cpp.json").read_text())
    wrong = [
        {"conv": {"id": f"w{index}", "name": f"Wrong {index}"}, "messages": "none"}
        for index in range(count)
    ]
    return json.dumps([*wrong, fixture])


def test_what_is_taken_away_can_be_brought_in_elsewhere(
    chat: ChatPage, browser: Browser, stack: Stack, tmp_path: Path
) -> None:
    question = script("take-away", ["think", "Hm. "], ["say", "Well, **yes**.\n\n```\nopen"])
    chat.think.check()
    chat.send(question)
    chat.wait_finished()
    open_dialog(chat)
    saved = download(chat, "As JSON")
    assert re.fullmatch(r"burble-.+\.json", saved.suggested_filename)
    file = tmp_path / saved.suggested_filename
    saved.save_as(file)
    assert json.loads(file.read_text())["format"] == "burble"
    expect(chat.page.locator(".transfer-dialog").locator(".said")).to_have_text(
        f"Saved as {saved.suggested_filename}."
    )
    context = browser.new_context()
    other = ChatPage(context.new_page(), stack.url + "/").open()
    dialog = open_dialog(other)
    expect(dialog.get_by_role("button", name="As JSON")).to_be_disabled()
    choose(other, file)
    expect(dialog.locator(".said")).to_have_text("Brought in: 1 conversation with 2 messages.")
    assert list(kept(other).values()) == [2]
    choose(other, file)
    expect(dialog.locator(".said")).to_have_text("Nothing is new: 1 conversation was here before.")
    dialog.get_by_role("button", name="Close").click()
    # It is shown as it was, and can be gone on with.
    identifier = json.loads(file.read_text())["conversations"][0]["id"]
    other.page.goto(f"{stack.url}/#/c/{identifier}")
    other.wait_answer("Well, yes. open")
    expect(other.thinking).to_have_count(1)
    other.send("hello")
    other.wait_answer("hello ")
    assert other.faults == []
    context.close()


def test_markdown_is_saved_to_be_read(chat: ChatPage, tmp_path: Path) -> None:
    chat.serve_models({})
    chat.send(script("as-markdown", ["say", "An *answer*.\n\n```py\nx = 1"]))
    chat.wait_finished()
    open_dialog(chat)
    saved = download(chat, "As Markdown")
    file = tmp_path / "saved.md"
    saved.save_as(file)
    text = file.read_text()
    assert re.match(r"# .+\n\n\*.+\*\n\n## You\n\n", text)
    assert text.endswith("## Scripted\n\nAn *answer*.\n\n```py\nx = 1\n```\n")
    assert saved.suggested_filename.endswith(".md")


def test_one_conversation_is_exported_alone(chat: ChatPage) -> None:
    choose_in(chat, FIXTURES / "llama_cpp.json")
    dialog = open_for(chat, "Bread")
    expect(dialog.get_by_role("heading", level=2)).to_have_text("Export “Bread”")
    expect(dialog.get_by_role("heading", name="Import", exact=True)).to_have_count(0)
    assert download(chat, "As JSON").suggested_filename == "burble-Bread.json"
    assert download(chat, "As Markdown").suggested_filename == "burble-Bread.md"


def choose_in(chat: ChatPage, file: Path) -> None:
    """Import a file, and close the dialog."""
    dialog = open_dialog(chat)
    choose(chat, file)
    expect(dialog.locator(".said")).to_contain_text("Brought in")
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


def test_files_of_others_are_brought_in_and_shown(chat: ChatPage, stack: Stack) -> None:
    for name in ("chatgpt.json", "open_webui.json", "llama_cpp.jsonl"):
        choose_in(chat, FIXTURES / name)
    assert kept(chat) == {
        "Knots for a small boat": 5,
        "Is anybody there?": 2,
        "Stars": 5,
        "Bread": 3,
    }
    chat.page.goto(f"{stack.url}/#/c/chatgpt-6f0c1d2e-0000-4000-8000-000000000001")
    chat.wait_answer("Or with a clove hitch.")
    expect(chat.questions).to_have_text(re.compile("How do I make her fast"))
    # A question that has no answer can be asked again.
    chat.page.goto(f"{stack.url}/#/c/chatgpt-6f0c1d2e-0000-4000-8000-000000000002")
    expect(chat.questions).to_have_text(re.compile("Is anybody there"))
    chat.button("Retry").click()
    chat.wait_longer_than(0)
    chat.wait_finished()


def test_what_is_imported_into_the_shown_conversation_is_shown(
    chat: ChatPage, stack: Stack, tmp_path: Path
) -> None:
    choose_in(chat, FIXTURES / "llama_cpp.json")
    chat.page.goto(f"{stack.url}/#/c/llamacpp-2b7e0000-0000-4000-8000-000000000001")
    chat.wait_answer("Two hours.")
    newer = json.loads((FIXTURES / "llama_cpp.json").read_text())
    at = {"type": "text", "timestamp": 1760000009000}
    newer["messages"] += [
        {"id": "m5", "parent": "m4", "role": "user", "content": "And then?", **at},
        {"id": "m6", "parent": "m5", "role": "assistant", "content": "Bake it.", **at},
    ]
    newer["conv"]["currNode"] = "m6"
    file = tmp_path / "newer.json"
    file.write_text(json.dumps(newer))
    choose_in(chat, file)
    chat.wait_answer("Bake it.")


def test_a_file_that_is_dropped_on_the_dialog_is_imported(chat: ChatPage) -> None:
    dialog = open_dialog(chat)
    drop(dialog, "bread.json", (FIXTURES / "llama_cpp.json").read_text())
    expect(dialog.locator(".said")).to_have_text("Brought in: 1 conversation with 3 messages.")
    expect(dialog.get_by_role("button", name="As JSON")).to_be_enabled()
    # The message does not get it.
    expect(chat.composer).to_have_value("")


def test_what_is_wrong_is_told_and_nothing_of_it_kept(chat: ChatPage) -> None:
    dialog = open_dialog(chat)
    alert = dialog.get_by_role("alert")
    drop(dialog, "diary.txt", "Dear diary")
    expect(alert).to_have_text("diary.txt: This is no JSON.")
    drop(dialog, "half.json", (FIXTURES / "chatgpt.json").read_text()[:900])
    expect(alert).to_have_text(
        "half.json: The file ends too early. Perhaps it was not downloaded to its end."
    )
    drop(dialog, "new.json", json.dumps({"format": "burble", "version": 9}))
    expect(alert).to_contain_text("made by a newer Burble")
    assert kept(chat) == {}
    drop(dialog, "some.json", spoiled(30))
    expect(alert).to_have_text("")
    expect(dialog.locator(".said")).to_have_text("Brought in: 1 conversation with 3 messages.")
    expect(dialog.get_by_role("heading", name="Not brought in (30)")).to_be_visible()
    refused = dialog.get_by_role("listitem")
    expect(refused).to_have_count(30)
    expect(refused.nth(7)).to_have_text("Wrong 7: a part of it is missing or broken")
    scrolls = dialog.get_by_role("list").evaluate("e => e.scrollHeight > e.clientHeight")
    assert scrolls
    assert kept(chat) == {"Bread": 3}


def test_the_focus_stays_where_the_reader_is(chat: ChatPage) -> None:
    dialog = open_dialog(chat)
    expect(dialog.get_by_role("heading", level=2)).to_be_focused()
    choose(chat, FIXTURES / "llama_cpp.json")
    expect(dialog.locator(".said")).to_contain_text("Brought in")
    expect(dialog.get_by_role("button", name="Choose a file")).to_be_focused()
    chat.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_what_was_brought_in_is_told_in_sight(chat: ChatPage) -> None:
    chat.page.set_viewport_size({"width": 320, "height": 480})
    dialog = open_dialog(chat)
    drop(dialog, "bread.json", (FIXTURES / "llama_cpp.json").read_text())
    expect(dialog.get_by_text("Brought in:")).to_be_in_viewport(ratio=0.9)
    broken = [{"id": str(n), "mapping": {"r": {"parent": "gone"}}} for n in range(12)]
    drop(dialog, "broken.json", json.dumps(broken))
    expect(dialog.get_by_role("list")).to_be_in_viewport(ratio=0.9)


def test_what_does_not_arrive_is_asked_for_again(chat: ChatPage) -> None:
    failures = iter(["css", "words"])
    for part in ("**/transfer.css", "**/words/transfer/en.js"):
        chat.page.route(
            part,
            lambda route: route.abort() if next(failures, None) else route.continue_(),
        )
    open_dialog(chat)
    assert next(failures, None) is None


@pytest.mark.long
def test_where_nothing_is_kept_all_of_it_can_be_taken_away(browser: Browser, stack: Stack) -> None:
    context = browser.new_context()
    context.add_init_script(
        "indexedDB.open = () => { throw new DOMException('', 'SecurityError'); }"
    )
    chat = ChatPage(context.new_page(), stack.url + "/").open()
    chat.send("First")
    chat.wait_finished()
    chat.new_chat()
    chat.send(script("unkept", ["say", "Here."], ["wait", "unkept"]))
    chat.wait_answer("Here.")
    for title, exported in (("First", [["First"]]), (None, [["First"], ["Here."]])):
        dialog = open_for(chat, title) if title else open_dialog(chat)
        text = Path(download(chat, "As JSON").path()).read_text()
        for each, (word,) in zip(
            reversed(json.loads(text)["conversations"]), exported, strict=True
        ):
            assert [word in message["content"] for message in each["messages"]] == [True, True]
        if title:
            expect(dialog.get_by_role("heading", name="Export “First”")).to_be_visible()
            chat.button("Close").click()
    stack.open_gate("unkept")
    drop(dialog, "bread.json", (FIXTURES / "llama_cpp.json").read_text())
    expect(dialog.get_by_role("alert")).to_contain_text("Nothing was brought in.")
    assert chat.faults == []
    context.close()


@pytest.fixture(params=["light 1280", "dark 320"])
def checked(request: pytest.FixtureRequest, browser: Browser, stack: Stack) -> Iterator[ChatPage]:
    """A tab in one of the themes and widths, without the policy: the checker itself is a foreign script."""
    scheme, width = request.param.split()
    context = browser.new_context(
        bypass_csp=True,
        color_scheme=scheme,
        viewport={"width": int(width), "height": 700},
    )
    chat = ChatPage(context.new_page(), stack.url + "/").open()
    chat.page.evaluate(AXE)
    yield chat
    context.close()


@pytest.mark.long
def test_every_state_of_it_is_accessible(checked: ChatPage) -> None:
    dialog = open_dialog(checked)
    assert violations(checked) == []
    drop(dialog, "some.json", spoiled(30))
    expect(dialog.get_by_role("listitem")).to_have_count(30)
    assert violations(checked) == []
    drop(dialog, "diary.txt", "Dear diary")
    expect(dialog.get_by_role("alert")).to_contain_text("no JSON")
    assert violations(checked) == []
    assert dialog.evaluate("e => e.scrollWidth - e.clientWidth") == 0
    dialog.get_by_role("button", name="Close").click()
    open_for(checked, "Bread")
    assert violations(checked) == []


def test_all_of_it_is_said_in_arabic(browser: Browser, stack: Stack) -> None:
    context: BrowserContext = browser.new_context(locale="ar-EG")
    chat = ChatPage(context.new_page(), stack.url + "/")
    chat.open()
    dialog = open_dialog(chat)
    names = f"{NAMES}|JSON|ZIP|ChatGPT|conversations.json|Open WebUI|llama.cpp"
    said = LATIN.replace("document.body,", "document.querySelector('.transfer-dialog'),")
    assert chat.page.evaluate(said, names) == []
    drop(dialog, "س.json", spoiled(2))
    expect(dialog.get_by_role("listitem")).to_have_count(2)
    assert chat.page.evaluate(said, f"{names}|Wrong|Bread") == []
    drop(dialog, "س.txt", "Dear diary")
    expect(dialog.get_by_role("alert")).to_contain_text("JSON")
    assert chat.page.evaluate(said, f"{names}|txt|Bread") == []
    assert chat.faults == []
    context.close()


def test_it_is_loaded_only_when_it_is_wanted(open_chat: OpenChat, stack: Stack) -> None:
    loaded: list[str] = []
    chat = open_chat(stack.url)
    chat.page.on("request", lambda request: loaded.append(request.url))
    chat.reload()
    chat.page.wait_for_load_state("networkidle")
    assert [url for url in loaded if "transfer" in url] == []
