"""Real PostgreSQL and MariaDB for the tests of SQL steps: small, on a Unix socket and a port, in a folder of their own.

The data of each are made once for a run of the suite, by whichever worker comes first, and copied. Neither wants to run
as root, so as root they run as nobody.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

PASSWORD = 'q\'8 x\\z "Wq7" k_v'
"""With all that quoting can get wrong."""
_NOBODY = 65534


def _program(name: str, more: Sequence[str] = ()) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", *more]))
    assert found, f"{name} is not installed: make .venv/bin/{name}"
    return str(Path(found).resolve())


def _run(command: Sequence[str], **options: object) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **_as_nobody(), **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def _as_nobody() -> dict[str, object]:
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _given_away(folder: Path) -> None:
    folder.chmod(0o755)
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, _NOBODY, _NOBODY, follow_symlinks=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Database:
    """``begin`` may be called again after an end."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        raise NotImplementedError

    @property
    def tcp(self) -> str:
        return f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        raise NotImplementedError

    @staticmethod
    def made(folder: Path) -> None:
        """Its data, in ``folder/data``."""
        raise NotImplementedError

    def serves(self) -> bool:
        """Whether it lets users in: the port alone opens sooner with some."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def begin(self) -> None:
        """Returns when it serves."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, **_as_nobody())  # type: ignore[call-overload]
        until = time.monotonic() + 60
        while time.monotonic() < until:
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            if self.serves():
                return
            time.sleep(0.02)
        raise AssertionError(f"it does not listen: {(self.folder / 'log').read_text()[-2000:]}")

    def stopped(self) -> None:
        """Hangs, with all its processes."""
        for process in self._all():
            os.kill(process, signal.SIGSTOP)

    def goes_on(self) -> None:
        for process in self._all():
            os.kill(process, signal.SIGCONT)

    def _all(self) -> list[int]:
        assert self.process is not None
        own = self.process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [own, *map(int, children)]

    def end(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGINT if isinstance(self, Postgresql) else signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


class Postgresql(Database):
    """Users: ``postgres`` by the socket alone; ``scram``, ``md5`` and ``plain`` with PASSWORD over TCP."""

    @property
    def socket(self) -> str:
        return f"unix:{self.folder}/.s.PGSQL.{self.port}"

    def command(self) -> list[str]:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "max_connections": 30,
            "shared_buffers": "4MB",
        }
        return [
            postgresql_program("postgres"), "-D", str(self.folder / "data"),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ]  # fmt: skip

    def serves(self) -> bool:
        command = [postgresql_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    @staticmethod
    def made(folder: Path) -> None:
        data = str(folder / "data")
        _run([postgresql_program("initdb"), "-D", data, "-U", "postgres", "--no-sync", "-A", "trust", "-E", "UTF8"])
        quoted = PASSWORD.replace("'", "''")
        users = [
            f"CREATE ROLE scram LOGIN PASSWORD '{quoted}'",
            "SET password_encryption = md5",
            f"CREATE ROLE md5 LOGIN PASSWORD '{quoted}'",
            f"CREATE ROLE plain LOGIN PASSWORD '{quoted}'",
            "CREATE DATABASE things",
        ]
        single = [postgresql_program("postgres"), "--single", "-D", data, "-c", "fsync=off", "-j", "postgres"]
        _run(single, input="".join(f"{each};\n\n" for each in users))
        rules = "local all postgres peer map=root\nhost all scram all scram-sha-256\nhost all md5 all md5\n"
        (folder / "data" / "pg_hba.conf").write_text(rules + "host all plain all password\nlocal all all reject\n")
        who = "root" if os.geteuid() == 0 else os.environ.get("USER", "nobody")
        (folder / "data" / "pg_ident.conf").write_text(f"root {who} postgres\n")


def postgresql_program(name: str) -> str:
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    own = Path(_program("postgres", [str(each) for each in newest[-1:]])).parent
    return str(own / name)


class Mariadb(Database):
    """Users: ``socketed`` by ``unix_socket``; ``native`` with PASSWORD, over both."""

    @property
    def socket(self) -> str:
        return f"unix:{self.folder}/socket"

    def command(self) -> list[str]:
        return [
            _program("mariadbd"), "--no-defaults", f"--datadir={self.folder / 'data'}", f"--port={self.port}",
            "--bind-address=127.0.0.1", f"--socket={self.folder / 'socket'}", "--innodb-buffer-pool-size=8M",
            "--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=4M", "--skip-log-bin", "--key-buffer-size=1M",
            "--aria-pagecache-buffer-size=1M", "--performance-schema=OFF", f"--pid-file={self.folder / 'pid'}",
        ]  # fmt: skip

    @staticmethod
    def made(folder: Path) -> None:
        """From the scripts of the package: mariadb-install-db asks for more than the server's programs."""
        (folder / "data" / "mysql").mkdir(parents=True)
        _given_away(folder)
        quoted = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
        who = "root" if os.geteuid() == 0 else os.environ.get("USER", "nobody")
        # Later versions have "mariadb" in both names.
        (tables,) = Path("/usr/share").glob("m*/m*_system_tables.sql")
        parts = (tables, tables.with_name(f"{tables.stem}_data.sql"))
        text = "CREATE DATABASE IF NOT EXISTS test;\nuse mysql;\nset @auth_root_socket=NULL;\n"
        text += "".join(part.read_text() for part in parts)
        text += (
            "FLUSH PRIVILEGES;\n"
            f"CREATE USER native IDENTIFIED BY '{quoted}';\n"
            f"CREATE OR REPLACE USER {who}@localhost IDENTIFIED VIA unix_socket;\n"
            f"GRANT ALL ON *.* TO native WITH GRANT OPTION;\nGRANT ALL ON *.* TO {who}@localhost;\n"
            "CREATE DATABASE things;\n"
        )
        _run(
            [
                _program("mariadbd"), "--no-defaults", "--bootstrap", f"--datadir={folder / 'data'}",
                "--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M", f"--lc-messages-dir={tables.parent}",
                "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin",
            ],
            input=text,
        )  # fmt: skip


def shared_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """One for all workers of a run."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@contextmanager
def running(kind: type[Database], shared: Path) -> Iterator[Database]:
    """``shared``: a folder that all workers of one run see."""
    with tempfile.TemporaryDirectory(prefix=f"mw-{kind.__name__.lower()}-", ignore_cleanup_errors=True) as own:
        folder = Path(own)
        made = shared / kind.__name__
        with FileLock(f"{made}.lock"):
            if not made.exists():
                fresh = folder / "new"
                fresh.mkdir()
                _given_away(folder)
                kind.made(fresh)
                shutil.copytree(fresh, made)
                shutil.rmtree(fresh)
        shutil.copytree(made / "data", folder / "data")
        _given_away(folder)
        (folder / "data").chmod(0o700)
        database = kind(folder, free_port())
        database.begin()
        try:
            yield database
        finally:
            database.end()
