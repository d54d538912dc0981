"""The documentation inside the screen: every page readable, links that lead somewhere, nothing but what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.ui.test_page import Service, connect
from ui import manual
from ui.app import create_app


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "decisions").mkdir()
    (tmp_path / "decisions" / "README.md").write_text("# Decisions\n")
    (tmp_path / "decisions" / "0001-x.md").write_text("# 1. `X`\n![a](../images/y.png) [up](../tour.md#part)\n")
    (tmp_path / "about.md").write_text("# About\n")
    (tmp_path / "tour.md").write_text(
        "# A tour\n## One\n[all](decisions/) [web](https://example.org) [code](../ui/app.py) ![p](images/y.png)\n"
        "```\n# a comment [x](about.md)\n```\n### Two\n"
    )
    return tmp_path


def test_pages_are_named_by_their_titles_tour_first_and_decisions_last(folder: Path) -> None:
    found = [(page.name, page.title) for page in manual.pages(folder)]
    assert found == [
        ("tour", "A tour"),
        ("about", "About"),
        ("decisions/0001-x", "1. X"),
        ("decisions/README", "Decisions"),
    ]


def test_headings_go_one_level_down_and_code_stays_as_it_is(folder: Path) -> None:
    lines = manual.page("tour", folder).splitlines()
    assert [line for line in lines if line.startswith("##")] == ["## A tour", "### One", "#### Two"]
    assert "# a comment [x](about.md)" in lines


def test_links_lead_to_pages_of_ours_or_to_the_web_and_others_become_text(folder: Path) -> None:
    assert (
        "[all](?tab=reading&doc=decisions/README) [web](https://example.org) code ![p](files/docs/y.png)"
        in manual.page("tour", folder)
    )
    assert "![a](files/docs/y.png) [up](?tab=reading&doc=tour)" in manual.page("decisions/0001-x", folder)


@pytest.mark.parametrize("name", ["", "nowhere", "../secret", "/etc/passwd", "tour.md"])
def test_name_that_is_no_page_is_nothing(folder: Path, name: str) -> None:
    (folder.parent / "secret.md").write_text("# Secret\n")
    assert manual.page(name, folder) == ""


def test_every_page_of_ours_can_be_read_and_its_images_are_served() -> None:
    service = Service()
    with TestClient(create_app(connect(service))) as browser:
        for page in manual.pages():
            text = manual.page(page.name)
            assert text.startswith("## "), page.name
            for image in re.findall(r"\]\((files/docs/[^)]+)\)", text):
                assert browser.get(f"/{image}").headers["content-type"] == "image/png"
    assert len(manual.pages()) > 15
