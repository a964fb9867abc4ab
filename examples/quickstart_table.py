#!/usr/bin/env python3
"""Makes one table of several models' perplexity per domain from the JSON files that demix-eval writes."""

import argparse
import json
import math
import os
import sys
from pathlib import Path


class InputError(Exception):
    """A result file that cannot be used; the message names it."""


def read_result(path: Path) -> dict[str, float]:
    """Perplexity by domain from one file of demix-eval. Raises InputError."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
        perplexities = {result["domain"]: float(result["perplexity"]) for result in results}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a result of demix-eval ({type(error).__name__}: {error})") from None
    if not perplexities:
        raise InputError(f"{path}: no domains in it")
    return perplexities


def read_results(files: dict[str, Path]) -> dict[str, dict[str, float]]:
    """Perplexity by model and domain. Raises InputError unless all models were tested on the same domains."""
    table = {model: read_result(path) for model, path in files.items()}
    first, *others = table
    for model in others:
        if set(table[model]) != set(table[first]):
            odd = ", ".join(sorted(set(table[model]) ^ set(table[first])))
            raise InputError(
                f"{files[model]} and {files[first]} are not of the same domains; they differ in {odd}"
            )
    return table


def mean(perplexities: dict[str, float]) -> float:
    return sum(perplexities.values()) / len(perplexities)


def rows(table: dict[str, dict[str, float]]) -> list[tuple[str, list[float]]]:
    """A row per domain, then the average over domains; a column per model."""
    domains = next(iter(table.values()))
    body = [(domain, [table[model][domain] for model in table]) for domain in domains]
    return [*body, ("average", [mean(table[model]) for model in table])]


def shown(value: float) -> str:
    return f"{value:.2f}"


def is_best(value: float, values: list[float]) -> bool:
    """True for the lowest value as it is shown; what is not a finite number is never best."""
    finite = [other for other in values if math.isfinite(other)]
    return math.isfinite(value) and shown(value) == shown(min(finite))


def text_table(table: dict[str, dict[str, float]]) -> str:
    """For a terminal; * marks the best of each row."""
    width = max(12, *(len(model) + 3 for model in table))
    name_width = max(len(name) for name, _ in rows(table)) + 2
    lines = ["".ljust(name_width) + "".join(model.rjust(width - 1) + " " for model in table)]
    for name, values in rows(table):
        if name == "average":
            lines.append("-" * (name_width + width * len(table)))
        cells = [shown(v).rjust(width - 1) + ("*" if is_best(v, values) else " ") for v in values]
        lines.append(name.ljust(name_width) + "".join(cells))
    return "\n".join(line.rstrip() for line in lines)


def markdown_table(table: dict[str, dict[str, float]]) -> str:
    """The best of each row is bold."""
    lines = ["| domain | " + " | ".join(table) + " |", "|---|" + "---:|" * len(table)]
    for name, values in rows(table):
        cells = [f"**{shown(value)}**" if is_best(value, values) else shown(value) for value in values]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdict(table: dict[str, dict[str, float]]) -> str:
    """What the numbers say, whichever model they favour."""
    averages = {model: mean(perplexities) for model, perplexities in table.items()}
    unusable = [model for model, value in averages.items() if not math.isfinite(value)]
    if unusable:
        return f"No comparison: the perplexity of {', '.join(unusable)} is not a finite number."
    best = [model for model, value in averages.items() if is_best(value, list(averages.values()))]
    sentences = [f"Lowest average perplexity: {' and '.join(best)} ({shown(min(averages.values()))})."]
    if "demix" in table and "dense" in table:
        change = 100 * (averages["demix"] / averages["dense"] - 1)
        domains = table["demix"]
        wins = sum(table["demix"][domain] < table["dense"][domain] for domain in domains)
        direction = "lower" if change < 0 else "higher"
        sentences.append(
            f"demix is {abs(change):.1f} % {direction} than dense on average, "
            f"and better on {wins} of {len(domains)} domains."
        )
    return " ".join(sentences)


def write(path: Path, text: str) -> None:
    """Replaces the file as a whole; what is no regular file, such as /dev/stdout, is written directly."""
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def model_file(text: str) -> tuple[str, Path]:
    model, equals, path = text.partition("=")
    if not (model and equals and path):
        raise argparse.ArgumentTypeError(f"'{text}' is not MODEL=FILE")
    return model, Path(path)


def report(table: dict[str, dict[str, float]], options: argparse.Namespace) -> None:
    """Prints the table and writes the files. Raises OSError."""
    title = "Perplexity on test text (lower is better)"
    print(f"{title}; * marks the best of a row\n\n{text_table(table)}\n\n{verdict(table)}", flush=True)
    if options.markdown:
        note = f"\n{options.note}\n" if options.note else ""
        write(options.markdown, f"{title}:\n\n{markdown_table(table)}\n\n{verdict(table)}\n{note}")
    if options.json:
        averages = {model: mean(perplexities) for model, perplexities in table.items()}
        content = {"perplexity": table, "average": averages, "verdict": verdict(table), "note": options.note}
        write(options.json, json.dumps(content, indent=2) + "\n")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, epilog="Lower perplexity is better.")
    parser.add_argument("results", metavar="MODEL=FILE", nargs="+", type=model_file, help="a column")
    parser.add_argument("--note", default="", help="how the models were trained; kept with the table")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="also write the table as Markdown")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the numbers as JSON")
    options = parser.parse_args(arguments)
    files = dict(options.results)
    if len(files) != len(options.results):
        parser.error("a model is named twice")
    try:
        table = read_results(files)
    except InputError as error:
        print(f"quickstart_table: error: {error}", file=sys.stderr)
        return 1
    try:
        report(table, options)
    except OSError as error:
        print(f"quickstart_table: error: cannot write: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
