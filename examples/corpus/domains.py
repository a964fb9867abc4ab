"""The domains of the built-in corpus: where their text comes from and how much of it is plausible."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import bible
import dictd
import gene_ontology
import html_text
import metamath
import pod
import rdata
import roff
import source_code
from text import Document


@dataclass(frozen=True)
class Domain:
    """A domain: its packages, the function that reads documents from their files, and what one version of it
    held.
    """

    name: str
    packages: tuple[str, ...]
    read: Callable[[Path], Iterator[Document]]
    documents: int  # as measured on Debian 12
    megabytes: float
    licence: str
    novel: bool = False


BOOST = "libboost-dev"  # stands for the libboost<version>-dev that it depends on

DOMAINS = (
    Domain("scripture", ("bible-kjv-text",), bible.documents, 1189, 4.1, "public domain"),
    Domain("fiction", ("r-cran-janeaustenr",), rdata.documents, 269, 4.0, "public domain"),
    Domain("politics", ("anarchism",), html_text.documents, 680, 11.0, "GPL-2+"),
    Domain("dictionary", ("dict-gcide",), dictd.english, 6609, 30.0, "GPL-3+"),
    Domain("biology", ("r-bioc-go.db",), gene_ontology.documents, 3393, 7.4, "CC BY 4.0"),
    Domain("manual", ("manpages", "manpages-dev"), roff.english, 1060, 5.0, "GPL, BSD and the like"),
    Domain("maths", ("metamath-databases",), metamath.documents, 2001, 8.6, "CC0"),
    Domain("cpp", (BOOST,), source_code.boost, 2780, 22.4, "BSL-1.0"),
    Domain("go", ("golang-golang-x-tools-dev",), source_code.go_tools, 922, 5.5, "BSD-3-Clause", novel=True),
    Domain("perldoc", ("perl-doc",), pod.documents, 428, 6.4, "GPL or Artistic", novel=True),
    Domain("computing", ("dict-foldoc",), dictd.computing, 1843, 4.7, "GFDL", novel=True),
    Domain("german", ("manpages-de",), roff.german, 868, 6.4, "GPL-3+", novel=True),
)
