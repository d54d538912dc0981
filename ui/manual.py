"""The documentation's Markdown pages as the screen shows them: links stay inside, images come from here."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

FOLDER = Path(__file__).parent.parent / "docs"
IMAGES = "images"
FIRST = "tour"

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^\s*(```|~~~)")
_HEADING = re.compile(r"^(#{1,5}) ")


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its name, which is its path without the ending, and its title."""

    name: str
    title: str


def pages(folder: Path = FOLDER) -> tuple[Page, ...]:
    """Return all pages, the tour first, decisions last; none where this installation came without them."""
    found = [Page(_name(path, folder), _title(path)) for path in folder.rglob("*.md")]
    return tuple(sorted(found, key=lambda page: (page.name != FIRST, "/" in page.name, page.name)))


def page(name: str, folder: Path = FOLDER) -> str:
    """Return a page as Markdown, its headings one level down; empty for a name that is none of `pages`."""
    known = {one.name for one in pages(folder)}
    if name not in known:
        return ""
    return embedded((folder / f"{name}.md").read_text(encoding="utf-8"), name, known)


def embedded(text: str, name: str = "", known: Collection[str] = ()) -> str:
    """Return Markdown to stand below a heading of ours: one level down, without links that lead nowhere from here."""
    return "\n".join(_outside_code(text.splitlines(), lambda line: _line(line, name, known)))


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _title(path: Path) -> str:
    with path.open(encoding="utf-8") as lines:
        first = next((line for line in lines if line.startswith("# ")), f"# {path.stem}")
    return first.removeprefix("# ").replace("`", "").strip()


def _outside_code(lines: list[str], change: Callable[[str], str]) -> list[str]:
    done, inside = [], False
    for line in lines:
        fence = bool(_FENCE.match(line))
        inside ^= fence
        done.append(line if inside or fence else change(line))
    return done


def _line(line: str, name: str, known: Collection[str]) -> str:
    linked = _LINK.sub(lambda found: _link(found, name, known), line)
    return _HEADING.sub(r"#\1 ", linked)


def _link(found: re.Match[str], name: str, known: Collection[str]) -> str:
    """Return a link that leads to a page of ours or to the web; of any other its text."""
    image, text, target = found.groups()
    parts = urlsplit(target)
    if parts.scheme:
        return text if image else f"[{text}]({target})"
    path = _resolved(PurePosixPath(name).parent / parts.path)
    if image:
        return f"![{text}](files/docs/{quote(path.removeprefix(f'{IMAGES}/'))})"
    there = next((one for one in (path.removesuffix(".md"), f"{path}/README") if one in known), None)
    return f"[{text}](?tab=reading&doc={quote(there)})" if there else text


def _resolved(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts = parts[:-1] if parts and parts[-1] != ".." else [*parts, part]
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
