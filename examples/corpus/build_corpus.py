#!/usr/bin/env python3
"""Builds the built-in corpus: real text of 8 training and 4 novel domains, read from Debian packages."""

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from domains import BOOST, DOMAINS, Domain
from packages import FetchError, PackageCache
from text import Document, split_long, tidy

MAX_CHARACTERS = 100_000  # of a document; longer ones are split


def unique(documents: Iterable[Document], domain: str) -> Iterator[Document]:
    """Tidies the documents, splits long ones, drops empty ones and copies, and makes the ids DOMAIN/ID[~N]
    unique.
    """
    texts: set[bytes] = set()
    ids: dict[str, int] = {}
    for document in (part for whole in documents for part in split_long(whole, MAX_CHARACTERS)):
        text = tidy(document.text)
        digest = hashlib.sha256(text.encode()).digest()
        if not text.strip() or digest in texts:
            continue
        texts.add(digest)
        identifier = f"{domain}/{document.id}"
        ids[identifier] = ids.get(identifier, 0) + 1
        if ids[identifier] > 1:
            identifier += f"~{ids[identifier]}"
        yield Document(identifier, text)


def size(documents: Iterable[Document]) -> int:
    """Bytes of text, in UTF-8."""
    return sum(len(document.text.encode()) for document in documents)


def sample(documents: list[Document], max_bytes: int) -> list[Document]:
    """A subset of at most `max_bytes` of text, spread over the whole domain, in order; always the same."""
    chosen = set()
    total = 0
    for document in sorted(documents, key=lambda document: hashlib.sha256(document.id.encode()).digest()):
        length = len(document.text.encode())
        if total + length <= max_bytes:
            total += length
            chosen.add(document.id)
    return [document for document in documents if document.id in chosen]


def check_plausible(domain: Domain, documents: list[Document]) -> None:
    """Raises ValueError when the amount of text is far from what is known of the domain."""
    megabytes = size(documents) / 1e6
    for what, found, usual in (
        ("documents", len(documents), domain.documents),
        ("MB of text", megabytes, domain.megabytes),
    ):
        if not usual / 2 <= found <= usual * 4:
            raise ValueError(
                f"{found:.4g} {what} came out, where {usual / 2:.4g} to {usual * 4:.4g} are plausible: the "
                f"layout of {', '.join(domain.packages)} may have changed"
            )


def write_jsonl(path: Path, documents: list[Document]) -> None:
    """Writes one {"text", "id"} object a line, beside the final name first: a file with that name is
    complete.
    """
    partial = path.with_name(path.name + ".partial")
    with open(partial, "w", encoding="utf-8") as file:
        for document in documents:
            json.dump({"text": document.text, "id": document.id}, file, ensure_ascii=False)
            file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


def build(domain: Domain, cache: PackageCache, path: Path, max_bytes: int | None) -> list[Document]:
    """Fetches, reads, checks and writes one domain; returns what it wrote. Raises FetchError, ValueError and
    the like.
    """
    with tempfile.TemporaryDirectory(prefix="demix-corpus-") as folder:
        for package in domain.packages:
            if package == BOOST:
                package = cache.find(BOOST, r"libboost\d+\.\d+-dev")
            cache.unpack(cache.fetch(package), Path(folder))
        documents = list(unique(domain.read(Path(folder)), domain.name))
    check_plausible(domain, documents)
    if max_bytes is not None:
        documents = sample(documents, max_bytes)
    write_jsonl(path, documents)
    return documents


def describe(error: Exception) -> str:
    """The message of an error that says enough by itself, else with its type (KeyError: 'variables')."""
    self_explaining = isinstance(error, (FetchError, OSError)) or type(error) is ValueError
    return str(error) if self_explaining else f"{type(error).__name__}: {error}"


def list_domains() -> None:
    """Prints the domains and their sources."""
    print(f"{'domain':<12}{'use':<10}{'documents':>10}{'MB':>7}  {'licence':<22}packages")
    for domain in DOMAINS:
        use = "novel" if domain.novel else "training"
        amount = f"{domain.documents:>10}{domain.megabytes:>7.1f}"
        print(f"{domain.name:<12}{use:<10}{amount}  {domain.licence:<22}{', '.join(domain.packages)}")


def positive(text: str) -> int:
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def default_cache() -> Path:
    """The user's cache folder of demix."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "demix/packages"


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Writes OUT/DOMAIN.jsonl, one {"text", "id"} object a line, for 8 training domains. '
        "The text comes from Debian packages, fetched with apt-get (about 80 MB for all domains); nothing is "
        "installed. A finished domain is not built again; remove its file to have it rebuilt.",
        epilog="Exit status: 0 all domains are there, 1 some are missing, 2 wrong usage.",
    )
    parser.add_argument("output", metavar="OUT", type=Path, nargs="?", help="folder for the .jsonl files")
    parser.add_argument("--domains", metavar="A,B,...", help="only these domains, training or novel")
    parser.add_argument("--novel", action="store_true", help="the 4 novel domains too")
    parser.add_argument(
        "--max-bytes-per-domain",
        metavar="N",
        type=positive,
        help="at most N bytes of text per domain: a fixed sample of its documents",
    )
    parser.add_argument(
        "--cache",
        metavar="DIR",
        type=Path,
        default=default_cache(),
        help="folder for fetched packages (default: %(default)s)",
    )
    parser.add_argument("--list", action="store_true", help="list the domains and their sources, and exit")
    options = parser.parse_args(arguments)
    if options.output is None and not options.list:
        parser.error("OUT is missing: the folder to write the .jsonl files to")
    known = {domain.name: domain for domain in DOMAINS}
    if options.domains is None:
        options.domains = [domain for domain in DOMAINS if options.novel or not domain.novel]
    else:
        names = list(dict.fromkeys(re.split(r"[,\s]+", options.domains.strip(", "))))
        unknown = [name for name in names if name not in known]
        if unknown:
            parser.error(f"--domains: no domain {', '.join(unknown)}; there are {', '.join(known)}")
        options.domains = [known[name] for name in names]
    return options


def main(arguments: list[str]) -> int:
    options = parse_arguments(arguments)
    if options.list:
        list_domains()
        return 0
    options.output.mkdir(parents=True, exist_ok=True)
    cache = PackageCache(options.cache)
    missing = []
    for domain in options.domains:
        path = options.output / f"{domain.name}.jsonl"
        if path.exists():
            print(f"{domain.name:<12}already there", flush=True)
            continue
        start = time.monotonic()
        try:
            documents = build(domain, cache, path, options.max_bytes_per_domain)
        except (
            Exception
        ) as error:  # whatever is wrong with one domain's package, the others can still be built
            missing.append(domain.name)
            print(
                f"build_corpus: error: domain {domain.name} is missing: {describe(error)}",
                file=sys.stderr,
                flush=True,
            )
            continue
        seconds = time.monotonic() - start
        megabytes = size(documents) / 1e6
        print(
            f"{domain.name:<12}{len(documents):>6} documents {megabytes:>7.2f} MB {seconds:>6.1f} s",
            flush=True,
        )
    if missing:
        print(
            f"build_corpus: error: {len(missing)} of {len(options.domains)} domains are missing: "
            f"{', '.join(missing)}",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("\nbuild_corpus: interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
