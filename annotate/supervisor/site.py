"""The whole site under one roof: what runs, in which order it starts, and in which it ends.

A process manager such as honcho would start everything at once. Here services start before what needs them
and end after it, and what a killed supervisor left behind is cleared away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from annotate import settings
from annotate.supervisor import programs
from annotate.supervisor.object_store import NUM_PORTS, ObjectStore
from annotate.supervisor.postgres import Postgres
from annotate.supervisor.processes import Child, Command, ServiceError, ended_with_us, say, stop_leftovers
from annotate.supervisor.redis import Redis

START_TIMEOUT_S = 90.0
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop(BaseException):
    """Somebody asked the supervisor to end (Ctrl-C, TERM, a closed terminal)."""


class AlreadyRunning(ServiceError):
    """Another supervisor works in the same folder."""


class Site:
    """The running children: services first, then the programs that need them."""

    def __init__(self, *, is_quiet: bool = False) -> None:
        self.is_quiet = is_quiet
        self.services: list[Child] = []
        self.programs: list[Child] = []

    def start_services(self) -> None:
        """Start what is embedded and wait until it answers."""
        if settings.EMBEDDED_POSTGRES:
            Postgres(settings.POSTGRES_DIR).prepare()
        if settings.EMBEDDED_REDIS:
            Redis(settings.REDIS_DIR).prepare()
        if settings.EMBEDDED_S3:
            _object_store().prepare()
        self._start(_services(), self.services)
        if settings.EMBEDDED_POSTGRES:
            Postgres(settings.POSTGRES_DIR).ensure_database(settings.DATABASES["default"]["NAME"])

    def start_programs(self, commands: list[Command]) -> None:
        self._start(commands, self.programs)

    def prepare_site(self) -> None:
        """Bring the tables and the static files up to date, side by side."""
        steps = {}
        for name in ("migrate", "collectstatic"):
            command = [*programs.MANAGE, name, "--no-input", "--verbosity", "0"]
            steps[name] = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        outputs = {name: step.communicate()[0].strip() for name, step in steps.items()}
        for name, step in steps.items():
            if step.returncode:
                raise ServiceError(f"manage.py {name} failed:\n{outputs[name]}")

    def keep_running(self, until: subprocess.Popen[bytes] | None = None) -> None:
        """Restart what crashes, until `until` ends (or for ever)."""
        while until is None or until.poll() is None:
            for child in [*self.services, *self.programs]:
                news = child.keep_alive()
                if news:
                    say("site", news)
            time.sleep(0.2)

    def run(self, argv: list[str]) -> int:
        """Run a command in the foreground while the site runs; its exit status."""
        process = subprocess.Popen(ended_with_us(argv, signal.SIGTERM))
        try:
            self.keep_running(until=process)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
        return process.wait()

    def stop(self) -> None:
        """End the programs, and then the services that they write to until their last moment."""
        for children in (self.programs, self.services):
            for child in children:
                child.ask_to_stop()
            while children:
                children.pop().stop()

    def _start(self, commands: list[Command], children: list[Child]) -> None:
        """Start processes side by side and wait until each is ready.

        Raises:
            ServiceError: one of them ended or did not answer in time; with its last log lines.
        """
        children += [Child(command, settings.VAR_DIR, is_quiet=self.is_quiet) for command in commands]
        for child in children:
            child.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        for child in children:
            while not child.command.is_ready():
                self._check_start(child, deadline)
                time.sleep(0.05)
            self._check_start(child, deadline)

    def _check_start(self, child: Child, deadline: float) -> None:
        if child.is_running and time.monotonic() < deadline:
            return
        reason = "does not answer" if child.is_running else "ended at once"
        raise ServiceError(f"{child.command.name} {reason}; the end of {child.log}:\n{child.last_lines()}")


@contextlib.contextmanager
def open_site(*, is_quiet: bool = False) -> Iterator[Site]:
    """Hold the folder VAR_DIR alone, and end everything on the way out, however that is taken.

    Raises:
        AlreadyRunning: another supervisor is at work here.
    """
    with _hold(settings.VAR_DIR), _signals_as_stop():
        _make_folders()
        site = Site(is_quiet=is_quiet)
        for name in stop_leftovers(settings.VAR_DIR, [*programs.by_name().values(), *_services()]):
            say("site", f"stopped {name}, left behind by a supervisor that was killed")
        try:
            yield site
        finally:
            for number in END_SIGNALS:
                signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
            site.stop()


def check_ports() -> None:
    """Fail early, before anything starts, where another program has one of ours."""
    _check_port(settings.BIND, settings.PORT, "set PORT to a free one, for example PORT=8001")
    if settings.EMBEDDED_S3:
        for port in _object_store().ports:
            _check_port("127.0.0.1", port, f"set S3_PORT to the first of {NUM_PORTS} free ones")


def _check_port(host: str, port: int, remedy: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServiceError(f"{host}:{port} cannot be used ({error.strerror}); {remedy}") from None


@contextlib.contextmanager
def _hold(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / "supervisor.lock", "a+")  # noqa: SIM115 (closed by the next with)
    except OSError as error:
        raise ServiceError(f"{error.filename} cannot be written ({error.strerror}); set VAR_DIR") from None
    with file as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunning(
                f"the site is already running in {folder} (process {lock.read().strip()}); stop it first, "
                "or set VAR_DIR to another folder"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _services() -> list[Command]:
    commands = []
    if settings.EMBEDDED_POSTGRES:
        postgres = Postgres(settings.POSTGRES_DIR)
        # INT is PostgreSQL's fast shutdown: it ends the sessions and leaves a clean state.
        commands.append(Command("postgres", postgres.command(), signal.SIGINT, 30, postgres.is_ready))
    if settings.EMBEDDED_REDIS:
        redis = Redis(settings.REDIS_DIR)
        commands.append(Command("redis", redis.command(), is_ready=redis.is_ready))
    if settings.EMBEDDED_S3:
        store = _object_store()
        commands.append(Command("s3", store.command(), patience_s=30, is_ready=store.is_ready))
    return commands


def _object_store() -> ObjectStore:
    return ObjectStore(settings.S3_DIR, range(settings.S3_PORT, settings.S3_PORT + NUM_PORTS))


def _make_folders() -> None:
    settings.STORAGE_ROOT.mkdir(mode=0o750, parents=True, exist_ok=True)
    mode = stat.S_IMODE(settings.STORAGE_ROOT.stat().st_mode)
    if mode & 0o027:  # made by a release that left it open; where it is not ours, the check says so
        with contextlib.suppress(PermissionError):
            settings.STORAGE_ROOT.chmod(mode & ~0o027)
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    secret = settings.VAR_DIR / "secret"
    if not secret.exists():
        unfinished = settings.VAR_DIR / "secret.new"
        unfinished.unlink(missing_ok=True)
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
        os.rename(unfinished, secret)


@contextlib.contextmanager
def _signals_as_stop() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Stop

    before = {number: signal.signal(number, stop) for number in END_SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
