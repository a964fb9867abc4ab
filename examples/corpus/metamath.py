"""Theorems of a Metamath database: what they say in words and in symbols, without the proofs."""

import re
from collections.abc import Iterator
from pathlib import Path

from text import Document, one_line, pages

_MAX_COMMENT = 6000  # longer ones are notes on the database itself
_CREDIT = re.compile(
    r"\s*\((?:Contributed|Revised|Proof shortened|Proof modification|New usage)\b(?:[^()]|\([^()]*\))*\)"
)


def clean_comment(comment: str) -> str:
    """A comment as one line of prose: no credits, no mark-up of labels, formulas, emphasis or HTML."""
    comment = _CREDIT.sub("", one_line(comment))
    comment = re.sub(r"</?[A-Za-z][^<>]{0,40}>", "", comment)
    comment = re.sub(r"~ (\S+)", r"\1", comment)
    comment = re.sub(r"` (.*?) `", r"\1", comment)
    comment = re.sub(r"(?<!\S)_([A-Za-z][^_]*)_", r"\1", comment)
    return re.sub(r" (?=[.,;:?](?: |$))", "", one_line(comment))


def _rule(hypotheses: list[str], previous: list[str], statement: str) -> str:
    """ "hypothesis & hypothesis => statement"; those of the previous theorem are not written again."""
    known = len(previous) if previous and hypotheses[: len(previous)] == previous else 0
    new = [f"& {hypothesis}" for hypothesis in hypotheses[known:]]
    if not known and new:
        new[0] = hypotheses[0]
    return " ".join([*new, "=>", statement] if hypotheses else [statement])


def theorems(source: str) -> Iterator[Document]:
    """One entry per commented axiom or theorem: label, comment, hypotheses => statement.

    A theorem with all hypotheses of the one before it has only its further ones: "& hypothesis => statement".
    Raises ValueError when a statement or comment does not end.
    """
    tokens = source.split()
    scopes: list[list[str]] = [[]]  # hypotheses ($e) of each open block
    previous: list[str] = []  # hypotheses of the theorem before
    comment = None
    label = ""
    position = 0
    while position < len(tokens):
        token = tokens[position]
        position += 1
        if token == "$(":
            end = tokens.index("$)", position)
            comment = " ".join(tokens[position:end])
            position = end + 1
        elif token == "${":
            scopes.append([])
        elif token == "$}":
            scopes.pop()
        elif token in ("$c", "$v", "$d", "$f", "$e", "$a", "$p"):
            end = tokens.index("$.", position)
            statement = tokens[position:end]
            position = end + 1
            if token == "$e":
                scopes[-1].append(" ".join(_without_comments(statement)))
            elif token in ("$a", "$p"):
                if "$=" in statement:
                    statement = statement[: statement.index("$=")]
                other_proof = label.endswith(("OLD", "OBS", "ALT"))
                if comment is not None and len(comment) <= _MAX_COMMENT and not other_proof:
                    hypotheses = [hypothesis for scope in scopes for hypothesis in scope]
                    rule = _rule(hypotheses, previous, " ".join(_without_comments(statement)))
                    yield Document(label, f"{label}. {clean_comment(comment)}\n{rule}")
                    previous = hypotheses
                comment = None
        else:
            label = token


def _without_comments(tokens: list[str]) -> Iterator[str]:
    inside = False
    for token in tokens:
        if token == "$(":
            inside = True
        elif token == "$)":
            inside = False
        elif not inside:
            yield token


def documents(root: Path) -> Iterator[Document]:
    """Pages of about 4 KB of the theorems of set theory (set.mm)."""
    source = (root / "usr/share/metamath/databases/set.mm").read_text(encoding="utf-8")
    return pages(theorems(source), 4096)
