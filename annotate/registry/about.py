"""What the makers of weights say of them: Markdown that others wrote, as HTML that may stand in a page."""

from __future__ import annotations

from django.utils.safestring import SafeString
from markdown_it import MarkdownIt
from markdown_it.token import Token

from annotate.models import ModelVersion, Stage

#: A page's own title and its sections come before theirs.
HEADINGS = {"h1": "h3", "h2": "h4"}


def about_of(version: ModelVersion) -> SafeString:
    """What the maker of registered weights says of them."""
    told = version.run.result if version.run and version.run.stage == Stage.REGISTER else None
    return to_html((told or {}).get("about", ""))


def to_html(text: str) -> SafeString:
    """Without HTML of their own, pictures and links to places of which only their folder knows."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = parser.parse(_without_header(text))
    for token in tokens:
        token.tag = HEADINGS.get(token.tag, token.tag)
        token.children = _without_local_links(token.children or [])
    # What the parser escapes is all that the text can bring in.
    return SafeString(parser.renderer.render(tokens, parser.options, {}))


def _without_header(text: str) -> str:
    """Model hubs put a block of YAML before a card."""
    if not text.startswith("---\n"):
        return text
    header, _, rest = text[4:].partition("\n---\n")
    return rest or header


def _without_local_links(tokens: list[Token]) -> list[Token]:
    kept: list[Token] = []
    is_local = False
    for token in tokens:
        if token.type == "link_open":
            is_local = not str(token.attrs["href"]).startswith(("https://", "http://"))
        if not (is_local and token.type in ("link_open", "link_close")):
            kept.append(token)
    return kept
