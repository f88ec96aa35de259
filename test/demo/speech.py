"""How the demo speaks: on a terminal in colours, elsewhere as plain text."""

import html.parser
import os
import re
import sys


class NobodyListens(Exception):
    """Standard output is closed, or its terminal is."""


def _in_colour():
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if _in_colour() else str(text)


def bold(text):
    return paint("1", text)


def dim(text):
    return paint("2", text)


def identity(text):
    """A name worth finding again."""
    return paint("33", text)


def tick():
    return paint("32;1", "✓")


def cross():
    return paint("31;1", "✗")


def say(text=""):
    try:
        print(text, flush=True)
    except OSError as error:
        # What it still holds is not to be tried again at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise NobodyListens(str(error)) from None


def line(text=""):
    say("    " + text if text else "")


def command(where, what):
    line(dim(f"{where}$ {what}"))


def truth(text):
    line(f"{tick()} {text}")


def facts(*pairs):
    width = max(len(label) for label, _ in pairs)
    for label, value in pairs:
        line(f"{dim(label.ljust(width))}  {value}")


def columns(rows):
    """Lines in which the cells of rows, all of one length, stand below each other."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def mib(count):
    return f"{count / (1 << 20):.1f} MiB"


class _Page(html.parser.HTMLParser):
    """Takes one of our pages apart into blocks: the rows of a table, or a line of text as a table of one cell."""

    def __init__(self):
        super().__init__()
        self.blocks = []
        self._hidden = self._in_table = False

    def handle_starttag(self, tag, attrs):
        if tag in ("style", "title"):
            self._hidden = True
        elif tag in ("h1", "h2", "p", "li"):
            self.blocks.append([[""]])
        elif tag == "table":
            self.blocks.append([])
        elif tag == "tr":
            self.blocks[-1].append([])
        elif tag in ("th", "td"):
            self.blocks[-1][-1].append("")

    def handle_endtag(self, tag):
        if tag in ("style", "title"):
            self._hidden = False

    def handle_data(self, data):
        if not self._hidden and self.blocks and self.blocks[-1]:
            self.blocks[-1][-1][-1] += data


def lines_of_page(page, before=None):
    """The lines of an admin page as a terminal shows them, up to the line `before`."""
    parser = _Page()
    parser.feed(page)
    lines = []
    for block in parser.blocks:
        rows = [[" ".join(cell.split()) for cell in row] for row in block]
        if rows == [[before]]:
            break
        if rows:
            lines += columns(rows)
    return lines


def labels_of(series):
    """The labels of a series of Prometheus' text."""
    return dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', series))
