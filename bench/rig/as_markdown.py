"""Writes a document as Markdown, as GitHub reads it. Nothing in the data can become markup."""
import re

from .document import Code, Details, Figure, Heading, Items, Link, Paragraph, Plain, Table, pieces


def text(plain):
    plain = " ".join(str(plain).split())
    plain = re.sub(r"([\\`*\[\]|~])", r"\\\1", plain)
    plain = re.sub(r"&(?=#?\w+;)", "&amp;", plain).replace("<", "&lt;").replace(">", "&gt;")
    # Inside of a word an underscore is no markup: agents_with_orm stays readable.
    plain = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", plain)
    return re.sub(r"^([-+#]|\d+[.)])(?=\s)", r"\\\1", plain)


def code(plain, in_table=False):
    plain = " ".join(str(plain).split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", plain)), default=0))
    space = " " if plain.startswith("`") or plain.endswith("`") else ""
    plain = plain.replace("|", "\\|") if in_table else plain
    return f"{fence}{space}{plain}{space}{fence}" if plain else ""


def inline(words, in_table=False):
    written = []
    for piece in pieces(words):
        if isinstance(piece, Code):
            written.append(code(piece.text, in_table))
        elif isinstance(piece, Link):
            written.append(f"[{text(piece.text)}]({piece.to.replace(' ', '%20')})")
        else:
            # The spaces at its ends stand between pieces.
            before, after = (" " if piece[:1].isspace() else ""), (" " if piece[-1:].isspace() and piece.strip() else "")
            written.append(before + text(piece) + after)
    return "".join(written).strip()


def table(block, padded=False):
    """`padded`: with columns that stand below each other in a terminal too."""
    cells = [[inline(cell, True) for cell in row] for row in (block.head, *block.rows)]
    left = [column in block.text_columns for column in range(len(block.head))]
    if padded:
        widths = [max(len(row[column]) for row in cells) for column in range(len(left))]
        cells = [[cell.ljust(width) if text else cell.rjust(width) for cell, width, text in zip(row, widths, left)] for row in cells]
        rule = "|".join("-" * (width + 2) if text else "-" * (width + 1) + ":" for width, text in zip(widths, left))
    else:
        rule = "|".join("---" if text else "--:" for text in left)
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def _plain(block):
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", block.text)), default=0))
    return f"{fence}\n{block.text.rstrip()}\n{fence}"


def _block(block, padded):
    if isinstance(block, Heading):
        return f"{'#' * block.level} {text(block.text)}"
    if isinstance(block, Paragraph):
        return f"> **Note:** {inline(block.words)}" if block.banner else inline(block.words)
    if isinstance(block, Items):
        return "\n".join(f"- {inline(item)}" for item in block.items)
    if isinstance(block, Table):
        return f"{text(block.caption)}:\n\n{table(block, padded)}"
    if isinstance(block, Figure):
        return f"![{text(block.picture.alt)}]({block.picture.name}.svg)\n\n{text(block.picture.caption)}"
    if isinstance(block, Plain):
        return _plain(block)
    if isinstance(block, Details):
        return f"<details><summary>{text(block.summary)}</summary>\n\n{blocks(block.blocks, padded)}\n</details>"
    raise TypeError(f"no block: {block!r}")


def blocks(content, padded=False):
    return "\n\n".join(_block(block, padded) for block in content) + "\n"
