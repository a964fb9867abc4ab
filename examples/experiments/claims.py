"""Comparisons of perplexities over seeds and domains, and what they say about a claim."""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

Table = dict[int, dict[str, float]]  # perplexity by seed and domain
NO_DIFFERENCE = 0.05  # %: averages as near as this, for every seed, are called the same


def mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)


def averages(table: Table) -> list[float]:
    """The average over domains, of each seed."""
    return [mean(table[seed].values()) for seed in sorted(table)]


@dataclass(frozen=True)
class Comparison:
    """Table a against table b, which has the same seeds and domains."""

    changes: list[float]  # of the average over domains, from b to a, in %, by seed
    pairs_lower: int  # pairs of a seed and a domain for which a is lower
    pairs: int
    geometric: list[float]  # as changes, of the geometric mean over domains: each counts by its own change

    @property
    def same(self) -> bool:
        return all(abs(change) < NO_DIFFERENCE for change in self.changes)

    @property
    def seeds_lower(self) -> int:
        return sum(change < 0 for change in self.changes)


def compare(a: Table, b: Table) -> Comparison:
    """Raises ValueError unless both have the same seeds and domains."""
    if not a or a.keys() != b.keys() or any(a[seed].keys() != b[seed].keys() or not a[seed] for seed in a):
        raise ValueError("the tables are not of the same seeds and domains")
    pairs = [(a[seed][domain], b[seed][domain]) for seed in a for domain in a[seed]]
    changes = [100 * (x / y - 1) for x, y in zip(averages(a), averages(b), strict=True)]
    geometric = [100 * math.expm1(mean(math.log(a[s][d] / b[s][d]) for d in a[s])) for s in sorted(a)]
    return Comparison(changes, sum(x < y for x, y in pairs), len(pairs), geometric)


def spread(values: list[float], digits: int = 2) -> str:
    """Mean ± standard deviation (of the sample: n - 1); of one value, the value."""
    shown = f"{mean(values):.{digits}f}"
    if len(values) > 1:
        shown += f" ± {statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan:.{digits}f}"
    return shown


def signed(values: list[float]) -> str:
    """As spread, with the sign and %."""
    return f"{'+' if mean(values) > 0 else ''}{spread(values, 1)} %".replace("-", "−")


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def how_often(part: int, whole: int, noun: str = "seed") -> str:
    """The verdict on a claim that is true for `part` of `whole` seeds."""
    if part == whole:
        return "Holds"
    return "Does not hold" if part == 0 else f"Holds for {part} of {plural(whole, noun)} only"


@dataclass(frozen=True)
class Verdict:
    """A claim, whether it is true of the numbers, and the numbers."""

    claim: str
    verdict: str
    evidence: str

    def __str__(self) -> str:
        return f"**{self.verdict}**: {self.claim} {self.evidence}"


def true_or_not(claim: str, holds: bool, evidence: str) -> Verdict:
    """A claim about all seeds at once."""
    return Verdict(claim, "Holds" if holds else "Does not hold", evidence)


def evidence(c: Comparison, word: str, seeds: int, pairs: int) -> str:
    return (
        f"Average perplexity: {signed(c.changes)}; {word} for {seeds} of {plural(len(c.changes), 'seed')}, and in "
        f"{pairs} of {c.pairs} pairs of a seed and a domain."
    )


def lower(claim: str, a: Table, b: Table) -> Verdict:
    """The claim that a's average is lower than b's: it holds if that is so for all seeds."""
    c = compare(a, b)
    verdict = "No difference" if c.same else how_often(c.seeds_lower, len(c.changes))
    return Verdict(claim, verdict, evidence(c, "lower", c.seeds_lower, c.pairs_lower))


def higher(claim: str, a: Table, b: Table) -> Verdict:
    """The claim that a's average is higher than b's."""
    c, reverse = compare(a, b), compare(b, a)
    verdict = "No difference" if c.same else how_often(reverse.seeds_lower, len(c.changes))
    return Verdict(claim, verdict, evidence(c, "higher", reverse.seeds_lower, reverse.pairs_lower))


def unchanged(claim: str, a: Table, b: Table, tolerance: float) -> Verdict:
    """The claim that a's average is not more than `tolerance` % above b's."""
    c = compare(a, b)
    within = sum(change <= tolerance for change in c.changes)
    worst = max(100 * (a[seed][domain] / b[seed][domain] - 1) for seed in a for domain in a[seed])
    return Verdict(
        claim,
        how_often(within, len(c.changes)),
        f"Average perplexity: {signed(c.changes)}; at most {tolerance:g} % higher for {within} of "
        f"{plural(len(c.changes), 'seed')}; the worst single change: {signed([worst])}.",
    )


def lowest(claim: str, tables: dict[str, Table], name: str) -> Verdict:
    """The claim that the average of `name` is the lowest of all tables."""
    by_seed = {key: averages(table) for key, table in tables.items()}
    seeds = len(by_seed[name])
    wins = sum(
        all(by_seed[name][i] < values[i] for key, values in by_seed.items() if key != name) for i in range(seeds)
    )
    ordered = sorted(by_seed, key=lambda key: mean(by_seed[key]))
    return Verdict(
        claim,
        how_often(wins, seeds),
        f"It is the lowest for {wins} of {plural(seeds, 'seed')}. Averages over all seeds: "
        + ", ".join(f"{key} {mean(by_seed[key]):.2f}" for key in ordered)
        + ".",
    )
