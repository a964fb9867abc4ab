"""The steps of the experiment: what is trained, mixed, adapted and taken away, in which order."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from steps import Programs, Step

MODELS = ("dense", "unbalanced", "domain-token", "demix")  # as in demix-train-MODEL
MIXINGS = ("simple_average", "uniform_prior", "updating_prior", "cached_prior")
POSTERIORS = ("prefix", "previous_token")
PHASES = (
    "training",
    "evaluation",
    "mixing",
    "adaptation",
    "removal",
    "adaptation, old domains",
    "removal, other domains",
)


@dataclass(frozen=True)
class Recipe:
    """What all runs have in common."""

    train_domains: list[str]
    novel_domains: list[str]
    model: list[str]  # options
    train: list[str]
    adapt: list[str]


@dataclass(frozen=True)
class Places:
    """Where the data is, and where everything goes."""

    data: Path
    output: Path

    def run(self, seed: int, name: str) -> Path:
        """The folder of one training run."""
        return self.output / "models" / f"seed-{seed}" / name

    def checkpoint(self, seed: int, name: str) -> Path:
        """Of a finished run; the one with all experts where an expert was added."""
        with_all_experts = name.startswith(adapted("demix", ""))
        return self.run(seed, name) / ("joined" if with_all_experts else "checkpoint_last")

    def scratch(self, seed: int, name: str) -> Path:
        """A file between two commands of a step."""
        path = self.output / "scratch" / f"seed-{seed}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def training_seconds(metrics: Path) -> float:
    """How long a run has trained, by its metrics.jsonl: so it counts whoever started it, and whenever."""
    seconds = 0.0
    before = 0
    for line in metrics.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["type"] == "train":
            seconds += max(0, record["tokens"] - before) / record["tokens_per_second"]
            before = record["tokens"]
    return seconds


def parameters(lines: list[str]) -> int | None:
    """The number that a trainer says when it begins: "dense: 123 parameters, ..."."""
    for line in lines:
        words = line.split()
        if len(words) > 2 and words[2].startswith("parameters"):
            return int(words[1])
    return None


def train(places: Places, recipe: Recipe, seed: int, model: str, programs: Programs) -> dict:
    save_dir = places.run(seed, model)
    lines = programs.run(
        f"demix-train-{model}",
        places.data,
        "--train-domains",
        ",".join(recipe.train_domains),
        "--save-dir",
        save_dir,
        *recipe.model,
        *recipe.train,
        "--seed",
        seed,
    )
    return {"parameters": parameters(lines), "seconds": training_seconds(save_dir / "metrics.jsonl")}


def evaluate(places: Places, seed: int, model: str, domains: list[str], programs: Programs) -> dict:
    """Perplexity by domain: of all domains that the model knows, or of those given."""
    perplexities = {}
    out = places.scratch(seed, "evaluation.json")
    for domain in domains or [""]:
        choice = ["--domain", domain] if domain else []
        checkpoint = places.checkpoint(seed, model)
        programs.run("demix-eval", places.data, checkpoint, *choice, "--json", out)
        results = json.loads(out.read_text(encoding="utf-8"))["results"]
        perplexities |= {result["domain"]: float(result["perplexity"]) for result in results}
    return {"perplexity": perplexities}


def mix(
    places: Places, seed: int, model: str, domain: str, experts: list[str] | None, programs: Programs
) -> dict:
    """All mixtures on a domain's test text, the cached prior being estimated on its validation text."""
    prior = places.scratch(seed, "prior.jsonl")
    out = places.scratch(seed, "mixture.json")
    subset = ["--experts", ",".join(experts)] if experts else []
    common = ("demix-mix", places.data, places.checkpoint(seed, model), "--domain", domain, *subset)
    posteriors = ("--posterior", ",".join(POSTERIORS))
    programs.run(*common, "--mode", "estimate", *posteriors, "--output", prior)
    mixings = ("--ensemble", ",".join(MIXINGS))
    programs.run(*common, "--mode", "eval", *mixings, *posteriors, "--prior", prior, "--json", out)
    result = json.loads(out.read_text(encoding="utf-8"))
    return {key: result[key] for key in ("tokens", "experts", "results", "single")}


def adapt(places: Places, recipe: Recipe, seed: int, model: str, domain: str, programs: Programs) -> dict:
    """DEMix-DAPT of the demix model, dense DAPT of the dense one."""
    base = places.checkpoint(seed, model)
    save_dir = places.run(seed, adapted(model, domain))
    mode = "feedforward" if model == "demix" else "full"
    choice = ("--domain", domain, "--mode", mode, "--save-dir", save_dir)
    programs.run("demix-adapt", places.data, base, *choice, *recipe.adapt, "--seed", seed)
    if model != "demix":
        return {}
    joined = places.checkpoint(seed, adapted(model, domain))
    files = [(base / "experts" / f"{old}.h5", joined / "experts" / f"{old}.h5") for old in recipe.train_domains]
    identical = sum(old.read_bytes() == new.read_bytes() for old, new in files)
    start = json.loads((save_dir / "adapt.json").read_text(encoding="utf-8"))["start"]
    return {"start": start, "experts": len(files), "identical": identical}


def adapted(model: str, domain: str) -> str:
    """The name of the run, and of the step, that adapts a model to a domain."""
    return f"{model}-adapted-{domain}"


def mixture(domain: str, model: str = "demix", without: str = "") -> str:
    """The name of the step that mixes a model's experts, or all but one, on a domain."""
    return f"mix-{model}{'-without-' if without else ''}{without}-on-{domain}"


def steps_of(places: Places, recipe: Recipe, seeds: list[int]) -> Iterator[Step]:
    """All steps. What the most is concluded from comes first; what costs the most comes last."""

    def step(seed: int, name: str, phase: str, title: str, function, *arguments) -> Step:
        return Step(seed, name, phase, title, lambda programs: function(places, *arguments, programs))

    def mix_step(seed: int, phase: str, domain: str, model: str = "demix", without: str = "") -> Step:
        experts = [d for d in recipe.train_domains if d != without] if without else None
        left_out = f" without {without}" if without else ""
        return step(
            seed,
            mixture(domain, model, without),
            phase,
            f"mixing {model}{left_out} on {domain}",
            mix,
            seed,
            model,
            domain,
            experts,
        )

    for seed in seeds:
        for model in MODELS:
            yield step(seed, f"train-{model}", "training", f"training {model}", train, recipe, seed, model)
    for seed in seeds:
        for model in ("dense", "unbalanced", "domain-token"):
            name = f"evaluate-{model}"
            yield step(seed, name, "evaluation", f"evaluating {model}", evaluate, seed, model, [])
        for model in ("dense", "unbalanced"):
            name = f"evaluate-{model}-novel"
            title = f"evaluating {model} on novel domains"
            yield step(seed, name, "evaluation", title, evaluate, seed, model, recipe.novel_domains)
        for domain in [*recipe.train_domains, *recipe.novel_domains]:
            yield mix_step(seed, "mixing", domain)
    for seed in seeds:
        for domain in recipe.novel_domains:
            for model in ("demix", "dense"):
                name, title = adapted(model, domain), f"adapting {model} to {domain}"
                yield step(seed, name, "adaptation", title, adapt, recipe, seed, model, domain)
            yield mix_step(seed, "adaptation", domain, adapted("demix", domain))
            model = adapted("dense", domain)
            yield step(
                seed, f"evaluate-{model}", "adaptation", f"evaluating {model}", evaluate, seed, model, []
            )
    for seed in seeds:
        for domain in recipe.train_domains:
            yield mix_step(seed, "removal", domain, without=domain)
    for new in recipe.novel_domains:
        for domain in recipe.train_domains:
            yield mix_step(seeds[0], "adaptation, old domains", domain, adapted("demix", new))
    for removed in recipe.train_domains:
        for domain in recipe.train_domains:
            if domain != removed:
                yield mix_step(seeds[0], "removal, other domains", domain, without=removed)
