"""A text without its format: blocks, whose words are a string or a list of strings, Code and Link. as_markdown and as_html write it."""
from dataclasses import dataclass, field


@dataclass
class Code:
    text: str


@dataclass
class Link:
    text: str
    to: str


@dataclass
class Heading:
    level: int
    text: str


@dataclass
class Paragraph:
    words: object
    # A banner is what must be known before anything is believed.
    banner: bool = False


@dataclass
class Items:
    """A list; an item is words."""

    items: list


@dataclass
class Table:
    """A cell is words. `text_columns` are aligned to the left, figures to the right."""

    caption: str
    head: list
    rows: list
    text_columns: tuple = (0,)


@dataclass
class Figure:
    """A plots.Picture."""

    picture: object


@dataclass
class Plain:
    """A program's output as it is."""

    text: str


@dataclass
class Details:
    """What is folded away until somebody wants it."""

    summary: str
    blocks: list = field(default_factory=list)


def pieces(words):
    return [words] if isinstance(words, (str, Code, Link)) else list(words)
