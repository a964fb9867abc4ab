"""The report, made of nothing but the records of the steps: the same records give the same text."""

from collections.abc import Callable
from dataclasses import dataclass

from claims import (
    NO_DIFFERENCE,
    Table,
    Verdict,
    averages,
    compare,
    higher,
    how_often,
    lower,
    lowest,
    mean,
    plural,
    signed,
    spread,
    true_or_not,
    unchanged,
)
from plan import MIXINGS, MODELS, PHASES, POSTERIORS, adapted, mixture

FORGETTING = 1.0  # %: where a mixture's average rises by no more, nothing is taken to be lost
ROUNDING = 1e-6  # relative: the same expert, scored in another batch

Records = dict[int, dict[str, dict]]
Finding = Verdict | str


@dataclass
class Section:
    """`lines` are Markdown: tables, and what they show; `findings` come behind them."""

    title: str
    seeds: list[int]
    lines: list[str]
    findings: list[Finding]

    def text(self) -> list[str]:
        if not self.seeds:
            return [f"## {self.title}", "", "Not measured yet.", ""]
        head = [f"## {self.title}", "", f"Seeds: {', '.join(map(str, self.seeds))}.", ""]
        return [*head, *self.lines, *(f"- {finding}" for finding in self.findings), ""]


class Results:
    """Perplexities out of the records of those seeds that have all the steps that a section needs."""

    def __init__(self, settings: dict, records: Records):
        self.records = records
        self.old = settings["train_domains"]
        self.new = settings["novel_domains"]
        self.asked = settings["seeds"]
        self.over = POSTERIORS[0]
        domains = [*self.old, *self.new]
        if seeds := self.seeds([mixture(d) for d in domains]):
            self.over = min(POSTERIORS, key=lambda over: mean(averages(self.mixed(seeds, domains, over=over))))

    def seeds(self, steps: list[str]) -> list[int]:
        return [seed for seed in self.asked if all(name in self.records.get(seed, {}) for name in steps)]

    def result(self, seed: int, step: str) -> dict:
        return self.records[seed][step]["result"]

    def evaluated(self, seeds: list[int], step: str, domains: list[str]) -> Table:
        return {s: {d: self.result(s, step)["perplexity"][d] for d in domains} for s in seeds}

    def mixture(self, seed: int, step: str, ensemble: str = "cached_prior", over: str = "") -> float:
        """Perplexity of one mixture of a step."""
        wanted = (ensemble, "none" if ensemble == "simple_average" else over or self.over)
        results = self.result(seed, step)["results"]
        return next(float(r["perplexity"]) for r in results if (r["ensemble"], r["posterior_over"]) == wanted)

    def mixed(
        self, seeds: list[int], domains: list[str], ensemble: str = "cached_prior", over: str = "", model: str = "demix"
    ) -> Table:
        return {s: {d: self.mixture(s, mixture(d, model), ensemble, over) for d in domains} for s in seeds}

    def alone(self, seed: int, domain: str, model: str = "demix") -> dict[str, float]:
        """Perplexity of every expert alone on a domain."""
        return {r["expert"]: float(r["perplexity"]) for r in self.result(seed, mixture(domain, model))["single"]}

    def own_expert(self, seeds: list[int], model: str = "demix") -> Table:
        """The old domains, each with its own expert."""
        return {s: {d: self.alone(s, d, model)[d] for d in self.old} for s in seeds}

    def all_mixtures(self, seeds: list[int], domains: list[str]) -> dict[str, Table]:
        """By column: the cached prior with either posterior, then the other mixtures."""
        cached = {f"cached_prior, {over}": self.mixed(seeds, domains, over=over) for over in POSTERIORS}
        return cached | {name: self.mixed(seeds, domains, name) for name in reversed(MIXINGS[:-1])}


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def domain_table(columns: dict[str, Table], domains: list[str], best: bool = True) -> list[str]:
    """A row per domain and the average; the lowest mean of a row is bold if `best`."""

    def row(name: str, values: list[list[float]]) -> list[str]:
        lowest_mean = min(round(mean(v), 2) for v in values)
        bold = [best and round(mean(v), 2) == lowest_mean for v in values]
        return [name, *(f"**{spread(v)}**" if b else spread(v) for v, b in zip(values, bold, strict=True))]

    rows = [row(d, [[of[s][d] for s in of] for of in columns.values()]) for d in domains]
    return table(["domain", *columns], [*rows, row("average", [averages(of) for of in columns.values()])])


def in_domain(r: Results) -> Section:
    title = "In-domain: the domains that were trained on"
    baselines = [m for m in MODELS if m != "demix"]
    seeds = r.seeds([*(f"evaluate-{m}" for m in baselines), *(mixture(d) for d in r.old)])
    if not seeds:
        return Section(title, [], [], [])
    columns = {m.replace("-", "_"): r.evaluated(seeds, f"evaluate-{m}", r.old) for m in baselines}
    known = r.own_expert(seeds)
    mixtures = r.all_mixtures(seeds, r.old)
    lines = [
        "`demix`: each domain with its own expert, the domain being known. The columns behind it mix all experts and "
        f"are not told the domain (posterior over {r.over} where nothing is said).",
        "",
        *domain_table({**columns, "demix": known, **mixtures}, r.old),
    ]
    findings = [lower(f"demix with the known domain's expert beats {m}.", known, of) for m, of in columns.items()]
    for over in POSTERIORS:
        cached, name = mixtures[f"cached_prior, {over}"], f"The mixture with a cached prior (posterior over {over})"
        findings.append(lower(f"{name} beats the known domain's expert.", cached, known))
        findings.append(lower(f"{name} beats dense.", cached, columns["dense"]))
    return Section(title, seeds, lines, [*findings, best_mixture("in-domain", r.over, mixtures)])


def best_mixture(where: str, over: str, mixtures: dict[str, Table]) -> Verdict:
    shown = {name: of for name, of in mixtures.items() if "," not in name or name.endswith(over)}
    claim = f"The cached prior is the best of the four mixtures {where} (posterior over {over})."
    return lowest(claim, shown, f"cached_prior, {over}")


def novel(r: Results) -> Section:
    title = "Novel domains: without any training on them"
    baselines = ("dense", "unbalanced")
    seeds = r.seeds([*(f"evaluate-{m}-novel" for m in baselines), *(mixture(d) for d in r.new)])
    if not seeds:
        return Section(title, [], [], [])
    columns = {m: r.evaluated(seeds, f"evaluate-{m}-novel", r.new) for m in baselines}
    best = {s: {d: min(r.alone(s, d).values()) for d in r.new} for s in seeds}
    alone = {e: {s: {d: r.alone(s, d)[e] for d in r.new} for s in seeds} for e in r.old}
    mixtures = r.all_mixtures(seeds, r.new)
    lines = [
        "`best expert` is the one with the lowest perplexity on the test text, chosen in hindsight for each seed and "
        "domain.",
        "",
        *domain_table({**columns, "best expert": best, **mixtures}, r.new),
        "Each expert alone:",
        "",
        *domain_table(alone, r.new),
    ]
    findings = []
    for over in POSTERIORS:
        cached = mixtures[f"cached_prior, {over}"]
        for name, other in {"the best single expert": best, **columns}.items():
            claim = f"On novel domains, the mixture with a cached prior (posterior over {over}) beats {name}."
            findings.append(lower(claim, cached, other))
    return Section(title, seeds, lines, [*findings, best_mixture("on novel domains", r.over, mixtures)])


def adaptation(r: Results) -> Section:
    title = "Adaptation: DEMix-DAPT and dense DAPT"
    steps = [adapted(m, d) for d in r.new for m in ("demix", "dense")]
    steps += [mixture(d, adapted("demix", d)) for d in r.new] + [f"evaluate-{adapted('dense', d)}" for d in r.new]
    seeds = r.seeds([*steps, *(mixture(d) for d in [*r.old, *r.new]), "evaluate-dense", "evaluate-dense-novel"])
    if not seeds:
        return Section(title, [], [], [])
    few, many = len(r.old), len(r.old) + 1

    def of_new(value: Callable[[int, str], float]) -> Table:
        return {s: {d: value(s, d) for d in r.new} for s in seeds}

    def old_average(step: str, seed: int) -> float:
        return averages(r.evaluated([seed], step, r.old))[0]

    dense = r.evaluated(seeds, "evaluate-dense-novel", r.new)
    dapt = of_new(lambda s, d: r.result(s, f"evaluate-{adapted('dense', d)}")["perplexity"][d])
    without = r.mixed(seeds, r.new)
    with_new = of_new(lambda s, d: r.mixture(s, mixture(d, adapted("demix", d))))
    alone = of_new(lambda s, d: r.alone(s, d, adapted("demix", d))[d])
    before = of_new(lambda s, d: old_average("evaluate-dense", s))
    after = of_new(lambda s, d: old_average(f"evaluate-{adapted('dense', d)}", s))
    files = [r.result(s, adapted("demix", d)) for s in seeds for d in r.new]
    identical, all_files = sum(f["identical"] for f in files), sum(f["experts"] for f in files)
    starts = {d: sorted({r.result(s, adapted("demix", d))["start"] for s in seeds}) for d in r.new}
    columns = {
        "dense": dense,
        "dense DAPT": dapt,
        f"{few} experts": without,
        f"{many} experts": with_new,
        "new expert alone": alone,
    }
    rows = []
    for d in r.new:
        b, a = ([of[s][d] for s in seeds] for of in (before, after))
        change = signed([100 * (y / x - 1) for x, y in zip(b, a, strict=True)])
        rows.append([d, spread(b), spread(a), change])
    lines = [
        "demix: an expert is added (`--mode feedforward`), nothing else changes. dense: all parameters are trained "
        f"on (`--mode full`). The mixtures have a cached prior (posterior over {r.over}). On the new domain:",
        "",
        *domain_table(columns, r.new),
        "The new experts start from: " + "; ".join(f"{d}: {', '.join(starts[d])}" for d in r.new) + ".",
        "",
        f"Average of the dense model over the {few} old domains, before and after the adaptation to a new one:",
        "",
        *table(["adapted to", "before", "after", "change"], rows),
    ]
    findings = [
        lower(f"DEMix-DAPT improves the new domain (mixture of {many} against {few} experts).", with_new, without),
        lower("Dense DAPT improves the new domain.", dapt, dense),
        lower(f"On the new domain, DEMix-DAPT (mixture of {many} experts) beats dense DAPT.", with_new, dapt),
        higher("Dense DAPT forgets the old domains.", after, before),
        true_or_not(
            "DEMix-DAPT leaves the old experts untouched.",
            identical == all_files,
            f"{identical} of {all_files} expert files are the same bytes.",
        ),
    ]
    more_lines, more_findings = old_with_new_expert(r, seeds)
    return Section(title, seeds, [*lines, *more_lines], [*findings, *more_findings])


def old_with_new_expert(r: Results, seeds: list[int]) -> tuple[list[str], list[Finding]]:
    """The old domains with one more expert: the table, and what it says."""
    few, many = len(r.old), len(r.old) + 1
    complete = r.seeds([mixture(d, adapted("demix", n)) for n in r.new for d in r.old])
    seeds = [s for s in seeds if s in complete]
    if not seeds:
        return [], [f"Not measured yet: the mixture of {many} experts on the old domains."]
    without, known = r.mixed(seeds, r.old), r.own_expert(seeds)
    with_new = {n: r.mixed(seeds, r.old, model=adapted("demix", n)) for n in r.new}
    rows = []
    for n in r.new:
        change = signed(compare(with_new[n], without).changes)
        rows.append([n, spread(averages(without)), spread(averages(with_new[n])), change])
    moved = max(
        abs(r.alone(s, d, adapted("demix", n))[d] / known[s][d] - 1) for s in seeds for n in r.new for d in r.old
    )
    lines = [
        f"Average of the mixture over the {few} old domains, without and with the new expert "
        f"({'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}):",
        "",
        *table(["expert added", f"{few} experts", f"{many} experts", "change"], rows),
    ]
    pairs = [(n, d) for n in r.new for d in r.old]
    return lines, [
        true_or_not(
            "After DEMix-DAPT, every old domain's own expert has the perplexity it had before.",
            moved <= ROUNDING,
            f"The largest relative difference is {moved:.1e}.",
        ),
        unchanged(
            f"The mixture of {many} experts is as good on the old domains as that of {few}.",
            {s: {f"{n}, {d}": with_new[n][s][d] for n, d in pairs} for s in seeds},
            {s: {f"{n}, {d}": without[s][d] for n, d in pairs} for s in seeds},
            FORGETTING,
        ),
    ]


def removal(r: Results) -> Section:
    title = "Removal of an expert"
    steps = [*(mixture(d) for d in r.old), *(mixture(d, without=d) for d in r.old), "evaluate-dense"]
    seeds = r.seeds(steps)
    if not seeds:
        return Section(title, [], [], [])
    with_it = r.mixed(seeds, r.old)
    without = {s: {d: r.mixture(s, mixture(d, without=d)) for d in r.old} for s in seeds}
    dense = r.evaluated(seeds, "evaluate-dense", r.old)
    c = compare(without, dense)
    lines = [
        "Each domain with the mixture of all experts, and with that of all but its own (cached prior, estimated with "
        f"the same experts; posterior over {r.over}).",
        "",
        *domain_table({"with": with_it, "without": without, "dense": dense}, r.old, best=False),
    ]
    findings: list[Finding] = [
        higher("Without its expert, a domain's perplexity rises.", without, with_it),
        f"Without its expert, the average is {signed(c.changes)} from that of dense, which was trained on all "
        f"domains; higher in {c.pairs - c.pairs_lower} of {c.pairs} pairs of a seed and a domain. Models that never "
        "saw the domain were not trained, so whether it becomes as bad as theirs was not measured.",
    ]
    complete = r.seeds([*steps, *(mixture(d, without=e) for e in r.old for d in r.old)])
    if not complete:
        return Section(title, seeds, lines, [*findings, "Not measured yet: the other domains."])
    more_lines, finding = others_without(r, complete[0])
    return Section(title, seeds, [*lines, *more_lines], [*findings, finding])


def others_without(r: Results, seed: int) -> tuple[list[str], Verdict]:
    """The other domains without an expert, for one seed."""
    without = {e: {d: r.mixture(seed, mixture(d, without=e)) for d in r.old if d != e} for e in r.old}
    with_it = {e: {d: r.mixture(seed, mixture(d)) for d in r.old if d != e} for e in r.old}
    rows = []
    for e in r.old:
        change = compare({seed: without[e]}, {seed: with_it[e]}).changes
        by_domain = {d: 100 * (without[e][d] / with_it[e][d] - 1) for d in without[e]}
        worst = max(by_domain, key=by_domain.__getitem__)
        averages_of = [f"{mean(of[e].values()):.2f}" for of in (with_it, without)]
        rows.append([e, *averages_of, signed(change), f"{worst} ({signed([by_domain[worst]])})"])
    lines = [
        f"The average of the other domains, for seed {seed} only:",
        "",
        *table(["removed", "with", "without", "change", "the worst"], rows),
    ]
    a, b = ({seed: {f"{e}, {d}": of[e][d] for e in of for d in of[e]}} for of in (without, with_it))
    return lines, unchanged("Without an expert, the other domains stay as good.", a, b, FORGETTING)


def posteriors(r: Results) -> Section:
    title = "The two posteriors"
    groups = {"old domains": r.old, "novel domains": r.new, "all domains": [*r.old, *r.new]}
    seeds = r.seeds([mixture(d) for d in groups["all domains"]])
    if not seeds:
        return Section(title, [], [], [])
    rows, better = [], {name: 0 for name in groups}
    for ensemble in MIXINGS[1:]:
        for name, domains in groups.items():
            prefix, previous = (r.mixed(seeds, domains, ensemble, over) for over in POSTERIORS)
            c = compare(prefix, previous)
            better[name] += mean(averages(prefix)) < mean(averages(previous))
            cells = [spread(averages(prefix)), spread(averages(previous)), signed(c.changes)]
            rows.append([ensemble, name, *cells, f"{c.pairs_lower} of {c.pairs}"])
    lines = [
        "What the posterior of a token looks at: `prefix`, all tokens before it in its sequence (the paper's "
        "formula); `previous_token`, the one before it (what the released code computes).",
        "",
        *table(["ensemble", "average over", *POSTERIORS, "from the second to the first", "prefix lower in"], rows),
    ]
    findings: list[Finding] = [
        Verdict(
            f"prefix is better than previous_token on {name}.",
            how_often(count, len(MIXINGS) - 1, "ensemble"),
            f"Its average is lower for {count} of {len(MIXINGS) - 1} ensembles.",
        )
        for name, count in better.items()
    ]
    c = compare(*(r.mixed(seeds, groups["all domains"], over=over) for over in POSTERIORS))
    findings.append(
        f"With a cached prior, **{r.over} is better on average over all domains** (from previous_token to prefix: "
        f"{signed(c.changes)}; prefix is lower for {c.seeds_lower} of {plural(len(c.changes), 'seed')}). The domains with "
        f"the highest perplexity weigh most in that; of the geometric mean, where all weigh the same, the change is "
        f"{signed(c.geometric)}. The mixtures in this report use {r.over} where nothing else is said: a choice "
        "between two, made on test text."
    )
    return Section(title, seeds, lines, findings)


def duration(seconds: float) -> str:
    whole = round(seconds / 60)
    return f"{whole // 60} h {whole % 60:02d} min" if whole >= 60 else f"{whole} min"


def method(settings: dict, r: Results) -> list[str]:
    """The recipe, the commands and the time."""
    steps = [(name, record) for seed in r.asked for name, record in r.records.get(seed, {}).items()]
    sizes = {name: record["result"].get("parameters") for name, record in steps}
    phases = {phase: sum(record["seconds"] for _, record in steps if record["phase"] == phase) for phase in PHASES}
    known = [f"{m.replace('-', '_')} {sizes[f'train-{m}']:,}" for m in MODELS if sizes.get(f"train-{m}")]
    joined = adapted("demix", r.new[0])
    examples = ["train-demix", "evaluate-dense", mixture(r.old[0]), joined, mixture(r.new[0], joined)]
    examples += [adapted("dense", r.new[0]), mixture(r.old[0], without=r.old[0])]
    seed = r.asked[0]
    commands = [c for name in examples for c in r.records.get(seed, {}).get(name, {}).get("commands", [])]
    splits = ("train", "valid", "test")
    sized = [[d, *(f"{of[split]:,}" for split in splits)] for d, of in settings["tokens"].items()]
    rows = [[phase, duration(time)] for phase, time in phases.items()]
    lines = [
        "## How it was measured",
        "",
        f"- Models: `{' '.join(settings['model'])}`",
        f"- Parameters: {', '.join(known)}; a token passes through as many of demix as of dense.",
        f"- Training: `{' '.join(settings['train'])}`",
        f"- Adaptation: `{' '.join(settings['adapt'])}`, otherwise as training",
        f"- Seeds: {', '.join(map(str, r.asked))}",
        "",
    ]
    if sized:
        lines += ["Tokens:", "", *table(["domain", *splits], sized)]
    if commands:
        lines += [f"Some of the commands, of seed {seed}:", "", *(f"    {command}" for command in commands), ""]
    return [
        *lines,
        "Time, over all seeds and sittings (training: by the trainers' own tokens per second). Other work on the "
        "same machine makes it longer:",
        "",
        *table(["phase", "time"], [*rows, ["together", duration(sum(phases.values()))]]),
    ]


def text(settings: dict, records: Records) -> str:
    """The whole report, in Markdown."""
    r = Results(settings, records)
    sections = [section(r) for section in (in_domain, novel, adaptation, removal, posteriors)]
    verdicts = [finding for section in sections for finding in section.findings if isinstance(finding, Verdict)]
    quick = "**Made with `--quick`: the numbers mean nothing, they only show that everything runs.**"
    lines = [
        "# Results: the paper's claims at a small scale",
        "",
        "Written by `examples/experiments/paper_claims.py`, verdicts included; do not edit. `--report-only` writes it "
        "again from the stored results.",
        "",
        *([quick, ""] if settings["quick"] else []),
        f"Old domains, which were trained on: {', '.join(r.old)}. Novel domains: {', '.join(r.new)}. All numbers are "
        "perplexities on test text; lower is better. ± is the standard deviation over seeds (n − 1). An average is "
        "the mean of the domains' perplexities.",
        "",
        "A claim **holds** if it is true of the average for every seed, and **does not hold** if for none; there is **no "
        f"difference** if for every seed the averages differ by less than {NO_DIFFERENCE:g} %. The models "
        "are tiny and hardly trained beside the paper's: what holds here may not hold there, and the other way round. "
        "The paper's claims about the cost of training on many processors are not examined.",
        "",
        *table(["claim", "verdict"], [[verdict.claim, verdict.verdict] for verdict in verdicts]),
    ]
    for section in sections:
        lines += section.text()
    return "\n".join([*lines, *method(settings, r)]).rstrip() + "\n"
