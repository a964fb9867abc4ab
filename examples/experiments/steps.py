"""Steps of an experiment: each runs programs once and leaves a JSON file that says what came out."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path


class StepError(Exception):
    """A step that cannot be done; the message says which and why."""


class Interrupted(Exception):
    """A signal that ends the experiment."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def interrupt_on_signals() -> None:
    """SIGINT and SIGTERM raise Interrupted."""

    def raise_interrupted(number: int, _frame: object) -> None:
        raise Interrupted(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, raise_interrupted)


def write(path: Path, text: str) -> None:
    """Replaces the file as a whole, and its folder if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


class Programs:
    """Runs programs: their output goes to a log, and its last line to a terminal."""

    def __init__(self, folder: Path, output: Path, data: Path):
        self.folder = folder
        self.shown_as = {str(output): "OUT", str(data): "DATA"}
        self.logs = output / "logs"
        self.log = self.logs / "setup.log"
        self.commands: list[str] = []

    def begin(self, log: str) -> None:
        """Another log from here on, and an empty list of commands."""
        self.log = self.logs / f"{log}.log"
        self.commands = []

    def shown(self, command: list[str]) -> str:
        """The command as a reader of the report would type it, with DATA and OUT for the folders."""
        words = []
        for word in command:
            for path in sorted(self.shown_as, key=len, reverse=True):
                if word == path or word.startswith(path + "/"):
                    word = self.shown_as[path] + word[len(path) :]
            words.append(word)
        return " ".join([Path(words[0]).name, *words[1:]])

    def run(self, program: str, *arguments: object) -> list[str]:
        """The lines that a demix program wrote. Raises StepError when it fails."""
        return self.command([str(self.folder / program), *map(str, arguments)])

    def command(self, command: list[str]) -> list[str]:
        """As run, for any command."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.commands.append(self.shown(command))
        lines = []
        live = sys.stdout.isatty()
        with open(self.log, "a", encoding="utf-8") as log:
            print(f"$ {' '.join(command)}", file=log, flush=True)
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                )
            except OSError as error:
                raise StepError(f"cannot run {command[0]}: {error.strerror}") from None
            try:
                for line in process.stdout:
                    lines.append(line.rstrip())
                    print(lines[-1], file=log, flush=True)
                    if live:
                        print(f"\r\033[K  {lines[-1][:100]}", end="", flush=True)
            except Interrupted as interruption:
                if interruption.number == signal.SIGTERM:  # of a Ctrl-C the program knows by itself
                    process.terminate()
                process.wait()
                raise
            finally:
                if live:
                    print("\r\033[K", end="", flush=True)
            status = process.wait()
        if status != 0:
            tail = "\n".join(f"  {line}" for line in lines[-5:])
            raise StepError(f"{Path(command[0]).name} ended with status {status}; see {self.log}\n{tail}")
        return lines


@dataclass(frozen=True)
class Step:
    """One result file. `run` gets the Programs and returns what the file says under "result"."""

    seed: int
    name: str
    phase: str
    title: str
    run: Callable[[Programs], dict] = field(compare=False)

    def path(self, results: Path) -> Path:
        return results / f"seed-{self.seed}" / f"{self.name}.json"


def minutes(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def run_steps(steps: Iterable[Step], programs: Programs, results: Path) -> None:
    """Does those steps that have no result yet. Raises StepError."""
    steps = list(steps)
    begin = time.monotonic()
    done = sum(step.path(results).exists() for step in steps)
    if done:
        print(f"{done} of {len(steps)} steps have been done before", flush=True)
    for step in steps:
        if step.path(results).exists():
            continue
        done += 1
        print(f"[{done}/{len(steps)}] seed {step.seed}: {step.title}", flush=True)
        programs.begin(f"seed-{step.seed}/{step.name}")
        start = time.monotonic()
        try:
            result = step.run(programs)
        except StepError as error:
            raise StepError(f"seed {step.seed}, {step.title}: {error}") from None
        seconds = result.pop("seconds", time.monotonic() - start)
        record = {
            "phase": step.phase,
            "seconds": round(seconds, 3),
            "commands": programs.commands,
            "result": result,
        }
        write(step.path(results), json.dumps(record, indent=1) + "\n")
        elapsed = minutes(time.monotonic() - begin)
        print(f"[{done}/{len(steps)}] {seconds:.0f} s; {elapsed} so far", flush=True)


def load(results: Path) -> dict[int, dict[str, dict]]:
    """All records by seed and step. Raises StepError for a file that is none."""
    records: dict[int, dict[str, dict]] = {}
    for path in sorted(results.glob("seed-*/*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            record["phase"], record["seconds"], record["commands"], record["result"]
            seed = int(path.parent.name.removeprefix("seed-"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StepError(f"{path}: not a result of this experiment ({error!r}); remove it") from None
        records.setdefault(seed, {})[path.stem] = record
    return records
