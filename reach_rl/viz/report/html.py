"""The page as text: everything that comes from files is escaped here."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

from reach_rl.viz.report.figure import Figure

_POLICY = (
    "default-src 'none'; img-src data: blob:; media-src data:; font-src data:; "
    "style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; base-uri 'none'; "
    "form-action 'none'"
)


_LONG = 48  # letters of a cell that may be broken into lines


@dataclass(frozen=True, slots=True)
class Card:
    """A headline figure."""

    label: str
    value: str
    detail: str = ""
    """Its interval, and what it counts."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; `body` is HTML."""

    name: str
    title: str
    lead: str
    body: str


@dataclass(frozen=True, slots=True)
class Page:
    """All that the page says."""

    kicker: str
    title: str
    lead: str
    state: str
    facts: Sequence[tuple[str, str]]
    cards: Sequence[Card]
    notes: Sequence[str]
    sections: Sequence[Section]
    footer: str


def render(page: Page) -> str:
    """The page as one HTML document that needs no other file and no network."""
    return _text(page, secrets.token_urlsafe(16)).encode("utf-8", "replace").decode("utf-8")


def _text(page: Page, nonce: str) -> str:
    links = "".join(f'<a href="#{s.name}">{escape(s.title)}</a>' for s in page.sections)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY.format(nonce=nonce)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="generator" content="reach-rl report">',
            '<link rel="icon" href="data:,">',
            f"<title>{escape(page.title)} - {escape(page.kicker)}</title>",
            f"<style>{_asset('page.css')}</style>",
            "</head>",
            "<body>",
            '<a class="skip" href="#content">Skip to the content</a>',
            _head(page),
            f'<nav aria-label="Sections">{links}</nav>',
            '<main id="content">',
            _cards(page.cards),
            *(_section(section) for section in page.sections),
            "</main>",
            f"<footer>{escape(page.footer)}</footer>",
            f'<script nonce="{nonce}">{_plotly()}</script>',
            f'<script nonce="{nonce}">{_asset("page.js")}</script>',
            "</body>",
            "</html>",
            "",
        ]
    )


def _head(page: Page) -> str:
    facts = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in page.facts)
    notes = "".join(f"<p>{escape(note)}</p>" for note in page.notes)
    shown = f'<div class="notes" role="note">{notes}</div>' if notes else ""
    state = escape(page.state)
    chip = f'<span class="chip chip-{slug(page.state)}">{state}</span>' if state else ""
    return (
        f'<header><p class="kicker">{escape(page.kicker)} {chip}</p>'
        f"<h1>{escape(page.title)}</h1>"
        f'<p class="lead">{escape(page.lead)}</p>'
        f'<dl class="facts">{facts}</dl>{shown}'
        "<noscript><p class='notes'>The figures are drawn by a script, which is switched off here; "
        "the tables are not.</p></noscript></header>"
    )


def _cards(cards: Sequence[Card]) -> str:
    if not cards:
        return ""
    items = "".join(
        f'<li><span class="label">{escape(card.label)}</span>'
        f'<span class="value">{escape(card.value)}</span>'
        f'<span class="detail">{escape(card.detail)}</span></li>'
        for card in cards
    )
    return f'<ul class="cards" aria-label="Headline figures">{items}</ul>'


def _section(section: Section) -> str:
    lead = f"<p class='about'>{escape(section.lead)}</p>" if section.lead else ""
    return (
        f'<section id="{section.name}" aria-labelledby="{section.name}-title">'
        f'<div class="opening"><h2 id="{section.name}-title">{escape(section.title)}</h2>{lead}'
        f"</div>{section.body}</section>"
    )


def figures(found: Sequence[Figure]) -> str:
    """Figures side by side, as many as fit."""
    return f'<div class="grid">{"".join(map(figure, found))}</div>' if found else ""


def figure(it: Figure) -> str:
    """One figure with its heading, caption, words for those who cannot see it, and data."""
    name = slug(it.name)
    kind = "figure wide" if it.wide else "figure"
    height = it.spec["layout"]["height"]
    return (
        f'<figure class="{kind}" id="{name}" aria-labelledby="{name}-title">'
        f'<figcaption><h3 id="{name}-title">{escape(it.title)}</h3><p>{escape(it.caption)}</p>'
        f'</figcaption><div class="plot" role="img" aria-label="{escape(it.alt)}" '
        f'style="min-height:{height:d}px"></div>'
        f'<script type="application/json">{data(it.spec)}</script></figure>'
    )


def data(tree: Any) -> str:  # noqa: ANN401  what JSON can hold
    """JSON that cannot end the element around it."""
    text = json.dumps(tree, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def table(head: Sequence[str], rows: Sequence[Sequence[object]], caption: str) -> str:
    """A table that can be sorted by a click on its head; numbers stand right."""
    heads = "".join(f'<th scope="col"><button>{escape(h)}</button></th>' for h in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f'<div class="scroll" role="region" aria-label="{escape(caption)}" tabindex="0">'
        f"<table><caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that sorts by a number and shows a text."""

    text: str
    key: float | None = None


def _cell(value: object) -> str:
    if isinstance(value, Cell):
        key = "" if value.key is None else f' data-key="{value.key:.9g}" class="number"'
        return f"<td{key}>{escape(value.text)}</td>"
    text = str(value)
    kind = ' class="long"' if len(text) > _LONG else ""
    return f"<td{kind}>{escape(text)}</td>"


def fold(title: str, body: str, name: str = "") -> str:
    """HTML that is shown on demand."""
    place = f' id="{slug(name)}"' if name else ""
    return f"<details{place}><summary>{escape(title)}</summary>{body}</details>"


def code(text: str) -> str:
    """Text as it is."""
    return f'<pre tabindex="0">{escape(text)}</pre>'


def paragraph(text: str) -> str:
    """A paragraph of text."""
    return f"<p>{escape(text)}</p>"


def slug(text: str) -> str:
    """A text that may stand in an attribute."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text.lower())


def _asset(name: str) -> str:
    return (files("reach_rl.viz.report") / name).read_text(encoding="utf-8")


def _plotly() -> str:
    """Plotly's script, which must not end its element."""
    text = (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    return text.replace("</script", "<\\/script")
