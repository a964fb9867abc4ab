"""Fetches Debian packages with apt and unpacks them. Nothing is installed, and no root rights are needed."""

import os
import re
import subprocess
from pathlib import Path


class FetchError(Exception):
    """A package that could not be fetched or unpacked; the message says why and what to do."""


class PackageCache:
    """A folder of fetched .deb files; a package that is there is not fetched again."""

    def __init__(self, folder: Path):
        self._folder = folder.absolute()
        self._debs = self._folder / "debs"
        self._debs.mkdir(parents=True, exist_ok=True)
        # Without the sandbox option apt warns, when run by root, that its user _apt cannot write to the
        # folder.
        self._options = ["-o", "APT::Sandbox::User=root"]
        self._updated = False

    def fetch(self, package: str) -> Path:
        """The .deb file of a package. Raises FetchError."""
        present = sorted(self._debs.glob(f"{package}_*.deb"))
        if present:
            return present[-1]
        if not self._download(package):
            self._use_fresh_lists()
            if not self._download(package):
                raise FetchError(f"apt-get cannot download {package}: {self._last_error}")
        return sorted(self._debs.glob(f"{package}_*.deb"))[-1]

    def find(self, family: str, pattern: str) -> str:
        """The package that `family` depends on, or else the newest one served whose name fits.

        Raises FetchError when there is none.
        """
        for attempt in range(2):
            names = re.findall(r"Depends: (\S+)", self._apt_cache("depends", family))
            names = [name for name in names if re.fullmatch(pattern, name)]
            if not names:
                names = [name for name in self._apt_cache("pkgnames").split() if re.fullmatch(pattern, name)]
            if names:
                return max(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])
            if attempt == 0:
                self._use_fresh_lists()
        raise FetchError(f"apt knows no package named like {pattern}")

    def unpack(self, deb: Path, root: Path) -> None:
        """Unpacks the files of a package under `root`. Raises FetchError and forgets the file when it is
        damaged.
        """
        root.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["dpkg-deb", "-x", deb, root], capture_output=True, text=True)
        if done.returncode != 0:
            deb.unlink()
            raise FetchError(
                f"{deb.name} is damaged ({done.stderr.strip()}); removed, run again to fetch it anew"
            )

    def _download(self, package: str) -> bool:
        """Downloads into a folder of its own first, so that an interruption leaves no half .deb file."""
        partial = self._folder / "partial"
        partial.mkdir(exist_ok=True)
        for left_over in partial.iterdir():
            left_over.unlink()
        done = self._run("apt-get", "download", package, cwd=partial)
        if done.returncode != 0:
            self._last_error = one_line_error(done.stderr)
            return False
        for deb in partial.glob("*.deb"):
            deb.rename(self._debs / deb.name)
        return True

    def _use_fresh_lists(self) -> None:
        """Fetches apt's package lists into the cache: the system's may be missing or stale, and belong to
        root.
        """
        if self._updated:
            return
        self._updated = True
        lists = self._folder / "apt/lists"
        archives = self._folder / "apt/cache"
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        (archives / "archives/partial").mkdir(parents=True, exist_ok=True)
        self._options += ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={archives}"]
        print("  fetching fresh package lists", flush=True)
        self._run("apt-get", "update", "-qq")

    def _apt_cache(self, *arguments: str) -> str:
        return self._run("apt-cache", *arguments).stdout

    def _run(self, tool: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
        try:
            return subprocess.run(
                [tool, *self._options, *arguments],
                cwd=cwd,
                capture_output=True,
                text=True,
                env={**os.environ, "LC_ALL": "C"},
            )
        except FileNotFoundError:
            raise FetchError(
                f"{tool} not found: the built-in text is read from Debian packages with apt"
            ) from None


def one_line_error(stderr: str) -> str:
    """apt's error messages (E: ...), or all that it said, on one line."""
    errors = re.findall(r"^E: (.*)$", stderr, re.M)
    return "; ".join(errors) if errors else " ".join(stderr.split())
