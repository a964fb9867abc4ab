#!/usr/bin/env python3
"""Measures which posterior chooses the better start of an adaptation: that over the prefix, or over the previous token."""

import argparse
import json
import sys
from pathlib import Path

from plan import POSTERIORS
from steps import Interrupted, Programs, StepError, interrupt_on_signals, write


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Adapts a demix model to each of the domains from the experts that the two posteriors choose, or "
        "from every expert, and prints the perplexity of each new expert on valid and test text as Markdown. Run the "
        "same command again after an interruption: what is done is not done again.",
        epilog="What stands behind a -- goes to demix-adapt, such as --max-update 60. Exit status: 0 done, 1 failed, "
        "2 wrong usage.",
    )
    add = parser.add_argument
    add("data", type=Path, help="a data-bin with the domains")
    add("checkpoint", type=Path, help="of a demix model that does not know them")
    add("--domains", required=True, type=lambda text: text.split(","), metavar="A,B,...", help="to adapt to")
    add("--output", required=True, type=Path, metavar="DIR", help="where everything goes")
    add("--programs", required=True, type=Path, metavar="DIR", help="folder with demix's programs")
    add("--every-expert", action="store_true", help="adapt from every expert, not only from the chosen ones")
    own, adapt = sys.argv[1:], []
    if "--" in own:
        own, adapt = own[: own.index("--")], own[own.index("--") + 1 :]
    options = parser.parse_args(own)
    options.adapt = adapt
    return options


def estimates(options: argparse.Namespace, programs: Programs, domain: str) -> dict[str, dict[str, float]]:
    """The moving average of the posterior on the valid text, by what it looks at and expert."""
    path = options.output / f"posterior-{domain}.jsonl"
    choice = ("--domain", domain, "--mode", "estimate", "--posterior", ",".join(POSTERIORS), "--output", path)
    programs.run("demix-mix", options.data, options.checkpoint, *choice)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    last = {line["posterior_over"]: line for line in lines}
    return {over: dict(zip(last[over]["experts"], last[over]["exp_avg_posterior"])) for over in POSTERIORS}


def adapted(options: argparse.Namespace, programs: Programs, domain: str, start: str) -> tuple[float, float]:
    """Valid and test perplexity of the new expert."""
    run = options.output / f"{domain}-from-{start}"
    adaptation = ("--domain", domain, "--mode", "feedforward", "--from", start, "--save-dir", run)
    programs.run("demix-adapt", options.data, options.checkpoint, *adaptation, *options.adapt)
    found = []
    for split in ("valid", "test"):
        out = run / f"{split}.json"
        programs.run("demix-eval", options.data, run / "joined", "--domain", domain, "--split", split, "--json", out)
        found.append(float(json.loads(out.read_text(encoding="utf-8"))["results"][0]["perplexity"]))
    return found[0], found[1]


def measure(options: argparse.Namespace) -> str:
    programs = Programs(options.programs, options.output, options.data)
    lines = ["| domain | start | " + " | ".join(f"posterior over {p}" for p in POSTERIORS) + " | valid | test |"]
    lines.append("|---|---|---:|---:|---:|---:|")
    for domain in options.domains:
        posteriors = estimates(options, programs, domain)
        chosen = {over: max(posteriors[over], key=posteriors[over].get) for over in POSTERIORS}
        starts = sorted(posteriors[POSTERIORS[0]]) if options.every_expert else sorted(set(chosen.values()))
        for start in starts:
            shown = [f"{posteriors[p][start]:.3f}" for p in POSTERIORS]
            shown = [f"**{s}**" if chosen[p] == start else s for p, s in zip(POSTERIORS, shown)]
            valid, test = adapted(options, programs, domain, start)
            lines.append(f"| {domain} | {start} | {' | '.join(shown)} | {valid:.2f} | {test:.2f} |")
            print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


def main() -> int:
    options = parse_arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    interrupt_on_signals()
    try:
        table = measure(options)
        write(options.output / "table.md", table)
    except Interrupted as interruption:
        return 128 + interruption.number
    except (StepError, OSError) as error:
        print(f"adaptation_start.py: {error}", file=sys.stderr)
        return 1
    print(table, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
