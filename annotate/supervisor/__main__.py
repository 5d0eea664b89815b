"""Run the site: `python -m annotate.supervisor serve | worker | demo | run COMMAND... | exec PROGRAM`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys

from annotate import settings
from annotate.supervisor import programs
from annotate.supervisor.processes import ServiceError, say
from annotate.supervisor.site import AlreadyRunning, Site, Stop, check_ports, open_site


def serve(options: argparse.Namespace) -> int:
    with open_site() as site:
        check_ports()
        _start_everything(site)
        say("site", f"ready at {settings.SITE_URL} (Ctrl-C stops everything)")
        site.keep_running()
    return 0


def worker(options: argparse.Namespace) -> int:
    """Only the workers; beside a running site one more worker joins it."""
    try:
        with open_site() as site:
            site.start_services()
            site.prepare_site()
            site.start_programs(programs.workers())
            say("site", "the workers are running (Ctrl-C stops them)")
            site.keep_running()
    except AlreadyRunning:
        argv = programs.worker(f"extra-{os.getpid()}", "default,fleet", 1).argv
        os.execv(argv[0], argv)
    return 0


def demo(options: argparse.Namespace) -> int:
    """The whole loop on the embedded world (or on a folder of people), with the site running."""
    with open_site(is_quiet=True) as site:
        check_ports()
        if options.fresh:
            _empty_everything()
        _start_everything(site)
        flags = ["--identities", options.identities] if options.identities else []
        flags += ["--consent", options.consent] if options.consent is not None else []
        flags += ["--seed", options.seed] if options.seed is not None else []
        flags += ["--rounds", options.rounds] if options.rounds is not None else []
        status = site.run([*programs.MANAGE, "demo", *flags])
        if status == 0 and options.serve:
            say(
                "site",
                f"ready at {settings.SITE_URL} (Ctrl-C stops everything; logs in {settings.VAR_DIR / 'log'})",
            )
            site.keep_running()
    return status


def run(options: argparse.Namespace) -> int:
    """One command with the embedded services up, those of a running site or its own."""
    try:
        with open_site(is_quiet=True) as site:
            site.start_services()
            return site.run(options.command)
    except AlreadyRunning:
        os.execvp(options.command[0], options.command)


def execute(options: argparse.Namespace) -> int:
    """Become one of the site's programs, for containers and init systems, which supervise it themselves."""
    argv = programs.by_name()[options.program].argv
    os.execv(argv[0], argv)


def _start_everything(site: Site) -> None:
    say("site", f"starting; data and logs are in {settings.VAR_DIR}")
    site.start_services()
    site.prepare_site()
    site.start_programs([programs.web(), *programs.workers()])


def _empty_everything() -> None:
    if not (settings.EMBEDDED_POSTGRES and settings.EMBEDDED_REDIS):
        raise ServiceError(
            "FRESH=1 empties only the embedded services; unset DATABASE_URL and CELERY_BROKER_URL"
        )
    for folder in (
        settings.POSTGRES_DIR,
        settings.REDIS_DIR,
        settings.S3_DIR,
        settings.STORAGE_ROOT,
        settings.VAR_DIR / "demo",
    ):
        shutil.rmtree(folder, ignore_errors=True)
    settings.STORAGE_ROOT.mkdir(mode=0o750, parents=True)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m annotate.supervisor", description=__doc__)
    commands = parser.add_subparsers(required=True)
    commands.add_parser("serve", help="everything: services, web, workers").set_defaults(start=serve)
    commands.add_parser("worker", help="only the workers").set_defaults(start=worker)
    demo_command = commands.add_parser("demo", help="the whole loop, then the site")
    demo_command.add_argument("--serve", action=argparse.BooleanOptionalAction, default=True)
    demo_command.add_argument("--identities", metavar="DIR", help="a folder of people, one sub-folder each")
    demo_command.add_argument(
        "--consent",
        metavar="USES",
        help="what people agreed to whose folder is silent, such as show,train",
    )
    demo_command.add_argument("--seed", metavar="N", help="0 to 5; another one draws other people")
    demo_command.add_argument(
        "--rounds", metavar="N", help="1 to 5, each from the model that the one before has tuned"
    )
    demo_command.add_argument("--fresh", action="store_true", help="empty the embedded services first")
    demo_command.set_defaults(start=demo)
    run_command = commands.add_parser("run", help="one command with the embedded services up")
    run_command.add_argument("command", nargs=argparse.REMAINDER)
    run_command.set_defaults(start=run)
    exec_command = commands.add_parser("exec", help="one program of the site, in the foreground")
    exec_command.add_argument("program", choices=sorted(programs.by_name()))
    exec_command.set_defaults(start=execute)
    options = parser.parse_args(arguments)
    if options.start is run and not options.command:
        parser.error("run needs a command")
    return options


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    try:
        status: int = options.start(options)
    except ServiceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Stop:
        return 130 if options.start in (demo, run) else 0
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
