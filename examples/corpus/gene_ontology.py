"""Definitions of the Gene Ontology, from the SQLite database of the R package GO.db."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from text import Document, one_line, pages


def definitions(database: Path) -> Iterator[Document]:
    """One entry per term: its name and its definition, in order of the terms' numbers."""
    connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        query = "select go_id, term, definition from go_term where definition is not null order by go_id"
        for go_id, term, definition in connection.execute(query):
            yield Document(go_id, f"{one_line(term)}\n{one_line(definition)}")
    finally:
        connection.close()


def documents(root: Path) -> Iterator[Document]:
    """Pages of about 2 KB of definitions."""
    return pages(definitions(root / "usr/lib/R/site-library/GO.db/extdata/GO.sqlite"), 2048)
