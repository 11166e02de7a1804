"""Writes a document as one HTML page that needs nothing beside itself: pictures inline, no script, no resource from elsewhere."""
import re
from html import escape
from pathlib import Path

from .document import Code, Details, Figure, Heading, Items, Link, Paragraph, Plain, Table, pieces

STYLE = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")


def inline(words):
    written = []
    for piece in pieces(words):
        if isinstance(piece, Code):
            written.append(f"<code>{escape(piece.text)}</code>")
        elif isinstance(piece, Link):
            written.append(f'<a href="{escape(piece.to)}">{escape(piece.text)}</a>')
        else:
            written.append(escape(str(piece)))
    return "".join(written)


class Page:
    def __init__(self, title):
        self.title, self.anchors = title, {}

    def _anchor(self, heading):
        word = "-".join(re.findall("[a-z0-9]+", heading.text.lower())) or "part"
        self.anchors[word] = count = self.anchors.get(word, 0) + 1
        return f"s-{word}" if count == 1 else f"s-{word}-{count}"

    @staticmethod
    def _cells(block, row, element):
        for column, words in enumerate(row):
            long = column in block.text_columns and len("".join(getattr(piece, "text", piece) for piece in pieces(words))) > 24
            kind = ' class="long"' if long else "" if column in block.text_columns else ' class="number"'
            tag = element if column else 'th scope="row"' if element == "td" else element
            yield f"<{tag}{kind}>{inline(words)}</{tag.split()[0]}>"

    def _table(self, block):
        head = "".join(self._cells(block, block.head, 'th scope="col"'))
        body = "\n".join(f"<tr>{''.join(self._cells(block, row, 'td'))}</tr>" for row in block.rows)
        # It can be scrolled with the keyboard too, so it must be reachable and have a name.
        caption = escape(block.caption)
        return (f'<div class="scroll" role="region" tabindex="0" aria-label="{caption}">\n<table>\n<caption>{caption}</caption>\n'
                f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>")

    def _block(self, block, anchors):
        if isinstance(block, Heading):
            return f'<h{block.level} id="{anchors[id(block)]}">{escape(block.text)}</h{block.level}>'
        if isinstance(block, Paragraph):
            return f'<p class="banner" role="note">{inline(block.words)}</p>' if block.banner else f"<p>{inline(block.words)}</p>"
        if isinstance(block, Items):
            return "<ul>\n" + "\n".join(f"<li>{inline(item)}</li>" for item in block.items) + "\n</ul>"
        if isinstance(block, Table):
            return self._table(block)
        if isinstance(block, Figure):
            return (f'<figure id="{escape(block.picture.name)}">\n<div class="picture" role="region" tabindex="0" '
                    f'aria-label="{escape(block.picture.title)}">\n{block.picture.svg.strip()}\n</div>\n'
                    f"<figcaption>{escape(block.picture.caption)}</figcaption>\n</figure>")
        if isinstance(block, Plain):
            return f"<pre>{escape(block.text.rstrip())}</pre>"
        if isinstance(block, Details):
            inside = "\n".join(self._block(one, anchors) for one in block.blocks)
            return f"<details><summary>{escape(block.summary)}</summary>\n{inside}\n</details>"
        raise TypeError(f"no block: {block!r}")

    def _anchors(self, blocks):
        found = {}
        for block in blocks:
            if isinstance(block, Heading):
                found[id(block)] = self._anchor(block)
            elif isinstance(block, Details):
                found |= self._anchors(block.blocks)
        return found

    def write(self, blocks):
        anchors = self._anchors(blocks)
        chapters = [block for block in blocks if isinstance(block, Heading) and block.level == 2]
        contents = "\n".join(f'<li><a href="#{anchors[id(block)]}">{escape(block.text)}</a></li>' for block in chapters)
        # The head of the report first: what it found matters more than where the chapters are.
        first = next((index for index, block in enumerate(blocks) if block in chapters), len(blocks))
        before, after = ("\n".join(self._block(block, anchors) for block in part) for part in (blocks[:first], blocks[first:]))
        navigation = f'<nav aria-label="Contents">\n<ul>\n{contents}\n</ul>\n</nav>\n' if chapters else ""
        return ('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
                '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
                f"<title>{escape(self.title)}</title>\n<style>\n{STYLE}</style>\n</head>\n"
                f"<body>\n<main>\n{before}\n{navigation}{after}\n</main>\n</body>\n</html>\n")
