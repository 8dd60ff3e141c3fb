"""An ordinary user: who runs the tests, or, where that is root, somebody without any privilege."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import netfast as nf
from live_net import ending

LIMIT = 60
# nobody
_UID = 65_534


class Ordinary:
    """Runs programs as an ordinary user, in a folder of that user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        self._become: list[str] = []
        self.python = [sys.executable]
        if os.geteuid() == 0:
            # What root has installed for itself that user need not be able to read.
            package = Path(nf.__file__).parent
            ignored = shutil.ignore_patterns("__pycache__", "bench")
            shutil.copytree(package, folder / "python" / "netfast", ignore=ignored)
            self.environment["PYTHONPATH"] = str(folder / "python")
            ids = ["--reuid", str(_UID), "--regid", str(_UID), "--clear-groups"]
            # What setpriv starts it finds with root's capabilities, what env starts it does not.
            self._become = ["setpriv", *ids, "--inh-caps", "-all", "--bounding-set", "-all", "env"]
            self.python = [self._interpreter(), "-s"]

    def _interpreter(self) -> str:
        """A Python that this user can run: that of the tests, or that of the system."""
        own = os.path.realpath(sys.executable)
        for path in (own, "/usr/bin/python3"):
            asked = self.command(path, "-c", "import sys; sys.exit(sys.version_info < (3, 11))")
            done = subprocess.run(
                asked, env=self.environment, capture_output=True, check=False, timeout=LIMIT
            )
            if done.returncode == 0:
                return path
        raise AssertionError(
            f"{own} can be run by root alone, and /usr/bin/python3 is none, or older than 3.11"
        )

    def command(self, *words: str | Path) -> list[str]:
        """A command as that user."""
        return [*self._become, *map(str, words)]

    def run(self, *words: str | Path, limit: float = LIMIT, **environment: str) -> str:
        """Runs a command and gives what it prints."""
        done = subprocess.run(
            self.command(*words),
            env=self.environment | environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=limit,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    @contextlib.contextmanager
    def program(self, *words: str | Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """Runs a command until the end of the block."""
        process = subprocess.Popen(
            self.command(*words),
            env=self.environment | environment,
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with ending(process):
            yield process

    def own(self, path: Path) -> None:
        """Gives that user a file or a folder."""
        if os.geteuid() == 0:
            os.chown(path, _UID, _UID)


@contextlib.contextmanager
def ordinary() -> Iterator[Ordinary]:
    """An ordinary user with a folder that is gone at the end. Its name is short: it holds sockets."""
    with tempfile.TemporaryDirectory(prefix="nfo") as made:
        folder = Path(made)
        folder.chmod(0o755)
        user = Ordinary(folder)
        user.own(folder)
        yield user


def why_not(*programs: str) -> str | None:
    """Why nothing can be run as an ordinary user here."""
    for program in ("setpriv", *programs):
        if shutil.which(program) is None:
            return f"{program}: not installed"
    try:
        with ordinary() as user:
            user.run(*user.python, "-c", "import netfast")
    except (AssertionError, OSError) as error:
        return f"no program runs as an ordinary user: {error}"
    return None


def why_no_namespaces() -> str | None:
    """Why an ordinary user cannot have network namespaces here."""
    with ordinary() as user:
        try:
            user.run("unshare", "--user", "--map-root-user", "--net", "ip", "link", "set", "lo", "up")
        except (AssertionError, OSError) as error:
            return f"no user namespaces here: {error}"
    return None
