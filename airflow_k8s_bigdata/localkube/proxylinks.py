"""Links of pages behind the API's proxy: made to lead through the proxy, as the API server makes them."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import accumulate
from urllib.parse import urlsplit, urlunsplit

_LINKS = {
    "a": {"href"},
    "applet": {"codebase"},
    "area": {"href"},
    "audio": {"src"},
    "base": {"href"},
    "blockquote": {"cite"},
    "body": {"background"},
    "button": {"formaction"},
    "command": {"icon"},
    "del": {"cite"},
    "embed": {"src"},
    "form": {"action"},
    "frame": {"longdesc", "src"},
    "head": {"profile"},
    "html": {"manifest"},
    "iframe": {"longdesc", "src"},
    "img": {"longdesc", "src", "usemap"},
    "input": {"src", "usemap", "formaction"},
    "ins": {"cite"},
    "link": {"href"},
    "object": {"classid", "codebase", "data", "usemap"},
    "q": {"cite"},
    "script": {"src"},
    "source": {"src"},
    "video": {"poster", "src"},
}
_ESCAPES = {"&": "&amp;", "'": "&#39;", "<": "&lt;", ">": "&gt;", '"': "&#34;"}


@dataclass(frozen=True, slots=True)
class Links:
    """Where links of one proxied page lead.

    :param prefix: the path of the proxy, which all of the pages behind it begin with.
    :param server: host and port of the page's server. `api`: those by which the client calls the API.
    """

    prefix: str
    server: str
    api: str

    def rewritten(self, target: str) -> str:
        """A link that leads through the proxy; relative links and those to other hosts stay as they are."""
        try:
            scheme, host, path, query, fragment = urlsplit(target)
        except ValueError:
            return target
        if (host and host not in (self.server, self.api)) or not path.startswith("/"):
            return target
        if host != self.api:
            scheme = host = ""
        if not path.startswith(self.prefix):
            slash = "/" if path.endswith("/") else ""
            path = posixpath.normpath(self.prefix + path).rstrip("/") + slash
        return urlunsplit((scheme, host, path, query, fragment))

    def page(self, html: bytes) -> bytes:
        """An HTML page whose links lead through the proxy; all else stays byte by byte."""
        text = html.decode("utf-8", "surrogateescape")
        return _Page(text, self).result().encode("utf-8", "surrogateescape")


class _Page(HTMLParser):
    """Copies a page, but for the start tags that have links."""

    def __init__(self, text: str, links: Links) -> None:
        super().__init__(convert_charrefs=False)
        self._text = text
        self._links = links
        self._lines = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
        self._done = 0
        self._parts: list[str] = []

    def result(self) -> str:
        self.feed(self._text)
        self.close()
        return "".join([*self._parts, self._text[self._done :]])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = _LINKS.get(tag, set())
        changed = [(name, self._links.rewritten(value) if name in names and value else value) for name, value in attrs]
        if changed == attrs:
            return
        raw = self.get_starttag_text() or ""
        line, column = self.getpos()
        begin = self._lines[line - 1] + column
        given = "".join(f" {name}" if value is None else f' {name}="{_escaped(value)}"' for name, value in changed)
        end = "/>" if raw.endswith("/>") else ">"
        self._parts += [self._text[self._done : begin], f"<{tag}{given}{end}"]
        self._done = begin + len(raw)


def _escaped(value: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in value)
