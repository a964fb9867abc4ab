#!/usr/bin/env python3
"""Repeats the experiments of the DEMix paper at a small scale, and says which of its claims hold there."""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

import report
from plan import Places, Recipe, steps_of
from steps import Interrupted, Programs, StepError, interrupt_on_signals, load, run_steps, write

EXAMPLES = Path(__file__).resolve().parents[1]
REPOSITORY = EXAMPLES.parent

TRAIN_DOMAINS = "biology,cpp,dictionary,fiction,manual,maths,politics,scripture"
NOVEL_DOMAINS = "go,perldoc,computing,german"
MAX_UPDATE = 243  # as the quickstart, when it may take 25 minutes
ADAPT = (
    "--lr 2e-4 --batch-size 8 --update-freq 1 --max-update 240 --validate-interval-updates 0 "
    "--max-valid-steps 10 --save-interval-updates 0 --keep-interval-updates 1"
)
QUICK_MODEL = "--layers 1 --d-model 16 --heads 2 --d-ffn 32 --tokens-per-sample 16 --dropout 0"
QUICK_TRAIN = "--batch-size 2 --update-freq 1 --lr 2e-3 --max-valid-steps 2 --max-update 4"
QUICK_ADAPT = "--batch-size 2 --update-freq 1 --lr 2e-3 --max-valid-steps 2 --max-update 2"
QUICK_VOCABULARY = "300"
PROGRAMS = (
    "demix-prepare",
    "demix-train-dense",
    "demix-train-unbalanced",
    "demix-train-domain-token",
    "demix-train-demix",
    "demix-eval",
    "demix-mix",
    "demix-adapt",
)


def shared_options(key: str) -> list[str]:
    """The options that the quickstart uses too."""
    for line in (EXAMPLES / "recipe.txt").read_text(encoding="utf-8").splitlines():
        name, _, options = line.partition(" ")
        if name == key:
            return options.split()
    raise StepError(f"{EXAMPLES / 'recipe.txt'}: no line '{key}'")


def names(text: str) -> list[str]:
    items = text.split(",")
    if "" in items or len(set(items)) != len(items):
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of different names")
    return items


def seed_list(text: str) -> list[int]:
    items = names(text)
    if not all(item.isdecimal() for item in items):
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of whole numbers")
    return [int(item) for item in items]


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="paper_claims.py",
        description="Trains dense, unbalanced, domain_token and demix models on real text of 8 domains, with "
        "several seeds; mixes the experts, also on 4 novel domains; adapts to these; takes experts away; and "
        "writes a report with tables and with what they say about the claims of the paper. Takes about 3 "
        "hours on 2 cores. Installs what is missing and builds the programs, unless --programs is given.",
        epilog="Run the same command again after an interruption: what is done is not done again. Exit status: "
        "0 done, 1 failed, 2 wrong usage.",
    )
    add = parser.add_argument
    add("--output", metavar="DIR", type=Path, default=REPOSITORY / "experiment-run", help="where everything goes")
    add("--seeds", metavar="S,S,...", type=seed_list, default=[1, 2, 3], help="default: 1,2,3")
    add("--programs", metavar="DIR", type=Path, help="folder with demix's programs: nothing is installed or built")
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--data-bin", metavar="DIR", type=Path, help="prepared data of all domains, to be used as it is")
    data.add_argument("--text", metavar="DIR", type=Path, help="DOMAIN.jsonl files, instead of the built-in corpus")
    add("--train-domains", metavar="A,B,...", type=names, default=names(TRAIN_DOMAINS), help="to train on")
    add("--novel-domains", metavar="A,B,...", type=names, default=names(NOVEL_DOMAINS), help="to adapt to")
    add("--cache", metavar="DIR", type=Path, help="folder for fetched packages (default: that of build_corpus.py)")
    add("--report", metavar="FILE", type=Path, help="default: docs/results.md, with --quick DIR/results.md")
    add("--report-only", action="store_true", help="write the report of what --output holds; run nothing")
    add("--quick", action="store_true", help="tiny models and runs: to see that everything works, not for results")
    options = parser.parse_args(arguments)
    both = set(options.train_domains) & set(options.novel_domains)
    if both:
        parser.error(f"--novel-domains: {', '.join(sorted(both))} is trained on")
    if len(options.train_domains) < 3:
        parser.error("--train-domains: 3 or more are needed, so that one can be taken away from a mixture")
    options.output = options.output.resolve()
    if options.report is None:
        options.report = options.output / "results.md" if options.quick else REPOSITORY / "docs/results.md"
    for name in ("programs", "data_bin", "text"):
        folder = getattr(options, name)
        if folder is not None and not folder.is_dir():
            parser.error(f"--{name.replace('_', '-')}: '{folder}' is not a folder")
    if options.programs is not None:
        options.programs = options.programs.resolve()
        missing = [program for program in PROGRAMS if not (options.programs / program).is_file()]
        if missing:
            parser.error(f"--programs: '{options.programs}' lacks {', '.join(missing)}")
    return options


def recipe_of(options: argparse.Namespace) -> Recipe:
    domains = (options.train_domains, options.novel_domains)
    if options.quick:
        return Recipe(*domains, QUICK_MODEL.split(), QUICK_TRAIN.split(), QUICK_ADAPT.split())
    train = [*shared_options("train"), "--max-update", str(MAX_UPDATE)]
    return Recipe(*domains, shared_options("model"), train, ADAPT.split())


def build(programs: Programs) -> None:
    """Installs what is missing and builds the programs."""
    print("installing and building", flush=True)
    programs.command([str(REPOSITORY / "cmake/install_dependencies.sh")])
    programs.command(["cmake", "-S", str(REPOSITORY), "--preset", "release"])
    folder = REPOSITORY / "build/release"
    jobs = str(os.cpu_count() or 1)
    programs.command(["cmake", "--build", str(folder), "-j", jobs, "--target", *PROGRAMS])


def splits_missing(data: Path, domain: str) -> list[str]:
    """The files of a domain that a data-bin lacks."""
    stems = ("train", f"valid_{domain}", f"test_{domain}")
    files = [data / domain / f"{stem}.{kind}" for stem in stems for kind in ("bin", "idx")]
    return [str(file) for file in files if not file.is_file()]


def prepare(options: argparse.Namespace, recipe: Recipe, places: Places, programs: Programs) -> None:
    """Makes the data-bin: the training domains with a vocabulary of their own, then the novel ones with it."""
    prepare_options = shared_options("prepare")
    if options.quick:
        prepare_options[prepare_options.index("--vocab-size") + 1] = QUICK_VOCABULARY
    at = prepare_options.index("--vocab-size")
    without_vocabulary = [*prepare_options[:at], *prepare_options[at + 2 :], "--reuse-vocabulary"]
    for domains, how in ((recipe.train_domains, prepare_options), (recipe.novel_domains, without_vocabulary)):
        missing = [domain for domain in domains if splits_missing(places.data, domain)]
        if not missing:
            continue
        if options.data_bin is not None:
            raise StepError(f"{places.data}: {splits_missing(places.data, missing[0])[0]} is missing")
        if how is prepare_options and (places.data / "dict.txt").exists():
            raise StepError(f"{places.data} lacks the domain {missing[0]}; remove it to have it made again")
        text = options.text
        if text is None:
            text = places.output / "text"
            print(f"fetching the text of {', '.join(missing)}", flush=True)
            build_corpus = [sys.executable, "-B", str(EXAMPLES / "corpus/build_corpus.py"), str(text)]
            cache = ["--cache", str(options.cache)] if options.cache else []
            which = ["--domains", ",".join(missing), *cache]
            programs.command([*build_corpus, *which, *shared_options("text")])
        absent = [domain for domain in missing if not (text / f"{domain}.jsonl").is_file()]
        if absent:
            raise StepError(f"{text / (absent[0] + '.jsonl')} is missing")
        print(f"preparing {', '.join(missing)}", flush=True)
        inputs = [word for domain in missing for word in ("--input", f"{domain}={text / domain}.jsonl")]
        programs.run("demix-prepare", *inputs, "--output", places.data, *how)


def fingerprint(places: Places, recipe: Recipe) -> str:
    """Of the data: the vocabulary and the documents' sizes."""
    digest = hashlib.sha256((places.data / "dict.txt").read_bytes())
    for domain in [*recipe.train_domains, *recipe.novel_domains]:
        for file in sorted((places.data / domain).glob("*.idx")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def tokens_of(places: Places, recipe: Recipe) -> dict[str, dict[str, int]]:
    """Tokens by domain and split, as far as the data-bin says."""
    summary = places.data / "summary.json"
    if not summary.exists():
        return {}
    domains = json.loads(summary.read_text(encoding="utf-8"))["domains"]
    wanted = [domain for domain in [*recipe.train_domains, *recipe.novel_domains] if domain in domains]
    return {domain: {split: of["tokens"] for split, of in domains[domain].items()} for domain in wanted}


def keep_settings(places: Places, recipe: Recipe, options: argparse.Namespace) -> None:
    """Notes what the results are of. Raises StepError when those that are there are of something else."""
    path = places.output / "results" / "settings.json"
    settings = {**vars(recipe), "data": fingerprint(places, recipe), "quick": options.quick}
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        other = [name for name in settings if before.get(name) != settings[name]]
        if other:
            raise StepError(
                f"{places.output} holds results with other settings ({', '.join(other)}); use another --output"
            )
    settings |= {"seeds": options.seeds, "tokens": tokens_of(places, recipe)}
    write(path, json.dumps(settings, indent=1) + "\n")


def write_report(output: Path, path: Path) -> None:
    settings = output / "results" / "settings.json"
    if not settings.exists():
        raise StepError(f"{output} holds no results: {settings} is missing")
    records = load(output / "results")
    write(path, report.text(json.loads(settings.read_text(encoding="utf-8")), records))
    print(f"the report is in {path}", flush=True)


def run(options: argparse.Namespace) -> None:
    if options.report_only:
        write_report(options.output, options.report)
        return
    data = options.data_bin.resolve() if options.data_bin else options.output / "data-bin"
    places = Places(data, options.output)
    recipe = recipe_of(options)
    programs = Programs(options.programs or REPOSITORY / "build/release/examples", options.output, data)
    programs.begin("setup")
    if options.programs is None:
        build(programs)
    prepare(options, recipe, places, programs)
    keep_settings(places, recipe, options)
    run_steps(steps_of(places, recipe, options.seeds), programs, options.output / "results")
    write_report(options.output, options.report)


def main(arguments: list[str]) -> int:
    options = parse_arguments(arguments)
    interrupt_on_signals()
    try:
        run(options)
    except (StepError, OSError) as error:
        print(f"paper_claims: error: {error}", file=sys.stderr)
        return 1
    except Interrupted as interruption:
        print("\npaper_claims: interrupted; run the same command again to go on", file=sys.stderr)
        return 128 + interruption.number
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
