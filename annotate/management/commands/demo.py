from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from annotate.management import demo, demo_rounds
from annotate.management.loop_command import FAILURES, read_consent
from annotate.storage.opening import site_storage
from rlhf.evaluation.report.tables import REPORT_FILE, SHEET_FILE
from rlhf.evaluation.text import table_lines
from rlhf.records import Track


class Command(BaseCommand):
    help = "The whole loop on the embedded world, or the first stages on a folder of people. Needs the site."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--identities", type=Path, metavar="DIR", help="a folder of people, one sub-folder each"
        )
        parser.add_argument(
            "--seed", type=int, choices=demo.SEEDS, default=0, help="another one draws other people"
        )
        parser.add_argument(
            "--rounds",
            type=int,
            choices=demo_rounds.ROUNDS,
            default=1,
            help="each one starts from the model that the one before has tuned",
        )
        parser.add_argument(
            "--consent",
            metavar="USES",
            help="with --identities: what people agreed to whose folder does not say, such as show,train",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["identities"]:
                self._people(options["identities"], read_consent(options["consent"]))
            else:
                self._synthetic(options["seed"], options["rounds"])
            accounts = demo.demo_accounts()
        except (*FAILURES, subprocess.CalledProcessError) as error:
            raise CommandError(" ".join(str(error).split())) from None
        self.stdout.write("\nsign in with:")
        for account in accounts:
            does = "runs rounds" if account["username"] == "demo-lead" else "judges pairs"
            self.stdout.write(f"  {account['username']:<16} {account['password']}  {does}")

    def _people(self, folder: Path, consent: tuple[str, ...] | None) -> None:
        report = demo.run_people(folder, self.stdout.write, consent)
        self.stdout.write(
            f"\nwaiting for people: {report['pairs']} pairs of {report['instances']} instances in round "
            f"{report['round']!r} are ready to be judged at"
        )
        for track in Track:
            self.stdout.write(f"  {settings.SITE_URL}{reverse('judge', args=[track])}")

    def _synthetic(self, seed: int, num_rounds: int) -> None:
        report = demo.run_synthetic(self.stdout.write, seed, num_rounds)
        self.stdout.write("\n" + "\n".join(_lines(report)))
        self.stdout.write(f"\nthe report is in {settings.VAR_DIR / 'demo' / 'report.json'}")


def _lines(report: dict[str, Any]) -> list[str]:
    lines = _of_round(report)
    for found in report["in_use"]:
        settings = found["settings"]
        lines += [
            f"with guidance {settings['guidance_scale']:g} and {settings['num_inference_steps']} steps",
            *_compared(found),
        ]
    for later in report["later_rounds"]:
        lines += ["", f"round {later['round']}, from {later['policy']}", *_of_round(later)]
        if start := later["against_start"]:
            lines += [f"against {start['baseline']}, the model before any votes", *_compared(start)]
    last = [report, *report["later_rounds"]][-1]
    if last["evaluation_table"]:
        lines += ["", *table_lines(last["evaluation_table"]), ""]
        place = site_storage().shown(f"{last['evaluation_folder']}/{REPORT_FILE}")
        lines.append(f"its report      {place}")
        place = site_storage().shown(f"{last['evaluation_folder']}/{SHEET_FILE}")
        lines.append(f"before, after   {place}")
    wall = ", ".join(f"{name} {seconds:.0f}" for name, seconds in report["wall_s"].items())
    return [*lines, f"seconds         {wall}"]


def _of_round(report: dict[str, Any]) -> list[str]:
    dpo = report["dpo"]
    states = ", ".join(f"{count} {state}" for state, count in report["joint_states"].items())
    return [
        f"instances       {report['instances']}",
        f"samples         {report['samples']}",
        f"pairs           {report['pairs']}: {states}",
        f"judgments       {report['judgments']['identity']} identity, "
        f"{report['judgments']['controllability']} controllability (simulated)",
        f"exported pairs  {report['exported_pairs']}, "
        f"{report['exported_pairs'] / max(1, report['pairs']):.0%} of the pairs",
        f"Flow-DPO        {dpo['steps']} steps, loss {dpo['first_loss']:.4f} -> {dpo['last_loss']:.4f}, "
        f"accuracy {dpo['accuracy']:.2f}",
        "",
        "on held-out people, before and after, in the round's settings",
        *_compared(report),
    ]


def _compared(found: dict[str, Any]) -> list[str]:
    """Of each track the win rate and the mean log-likelihood, and how often each fault is seen."""
    tracks = [
        f"  {track:<16} tuned model wins {one['win_rate']:.2f} [{one['low']:.2f}, {one['high']:.2f}] of "
        f"{one['n']}; mean {one['baseline_mean']:.2f} -> {one['candidate_mean']:.2f} "
        f"[{one['gain_low']:+.2f}, {one['gain_high']:+.2f}]"
        for track, one in found["evaluation"].items()
    ]
    faults = [
        f"  {one['label']:<26} {one['before']:>4.0%} -> {one['after']:>4.0%} "
        f"[{one['gain_low']:+.2f}, {one['gain_high']:+.2f}]"
        for one in found["faults"].values()
    ]
    return [*tracks, *faults]
