import json
import random
import threading
import uuid
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("requests")

from rlhf.records import Track
from rlhf.simulate.annotator import JUST_NOTICEABLE, Behaviour, OracleEye, better_side, read_scores
from rlhf.simulate.run import SimulationError, Site, simulate

PLAIN = {
    "username": "simulated-0",
    "password": "secret",
    "accuracy": 1.0,
    "tie_rate": 0.0,
    "side_bias": 0.0,
    "seed": 1,
}


class PlantedEye:
    """A clip's bytes are its score, in nats below the best there is."""

    def identity(self, clip, references):
        assert references == [b"photo", b"clip"]
        return float(clip)

    def controllability(self, clip, primary, changes):
        assert (primary, changes) == (b"photo", {"clothing": "a red shirt"})
        return float(clip)


class Round(ThreadingHTTPServer):
    """A site with one round: `slots` holds, per track, the scores of left and right that wait for a vote."""

    def __init__(self, slots, conflicts=0):
        super().__init__(("127.0.0.1", 0), Handler)
        self.slots = {track: list(reversed(slots)) for track in Track}
        self.leases, self.choices, self.requests, self.keys = {}, [], Counter(), set()
        self.conflicts = conflicts
        self.api = f"http://127.0.0.1:{self.server_port}/api"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        parts = self.path.strip("/").split("/")[1:]
        self.server.requests[parts[0]] += 1
        if parts == ["token"]:
            return self.answer(
                *((200, {"token": body["username"]}) if body["password"] == "secret" else (400, {}))
            )
        if parts[0] == "tracks":
            assert body == {"round": 7}
            return self.lease(Track(parts[1]))
        return self.judgment(parts[1], body)

    def lease(self, track):
        if not self.server.slots[track]:
            return self.answer(204, None)
        lease = str(uuid.uuid4())
        self.server.leases[lease] = track, self.server.slots[track].pop()
        identity = track is Track.IDENTITY
        references = [{"url": f"/media/{lease}/photo", "kind": "photo", "is_primary": not identity}]
        if identity:
            references.append({"url": f"/media/{lease}/clip", "kind": "clip", "is_primary": False})
        return self.answer(
            200,
            {
                "lease": lease,
                "track": str(track),
                "left": f"/media/{lease}/0",
                "right": f"/media/{lease}/1",
                "references": references,
                "elements": None if identity else {"clothing": "a red shirt"},
            },
        )

    def judgment(self, lease, body):
        track, scores = self.server.leases[lease]
        if self.server.conflicts:
            self.server.conflicts -= 1
            self.server.slots[track].append(scores)
            return self.answer(409, {"detail": "the lease ran out"})
        key = str(uuid.UUID(body["idempotency_key"]))
        if key in self.server.keys:
            return self.answer(409, {"detail": f"idempotency_key {key} was used for another pair"})
        self.server.keys.add(key)
        self.server.choices.append((track, scores, body["choice"], self.headers["Authorization"]))
        return self.answer(201, {})

    def do_GET(self):
        _, _, lease, name = self.path.split("/")
        self.server.requests["media"] += 1
        content = name if name in ("photo", "clip") else str(self.server.leases[lease][1][int(name)])
        self.answer(200, content)

    def answer(self, status, body):
        content = (
            body.encode() if isinstance(body, str) else b"" if body is None else json.dumps(body).encode()
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(slots, **settings):
        server = Round(slots, **settings)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_perfect_annotator_finds_the_truth_on_both_tracks(serve):
    server = serve([(-1, -900), (-800, -2)])
    summary = simulate(Site(server.api, 7), [PLAIN], PlantedEye())
    expected = {(-1, -900): "left", (-800, -2): "right"}
    assert Counter(track for track, *_ in server.choices) == dict.fromkeys(Track, 2)
    assert all(choice == expected[scores] for _, scores, choice, _ in server.choices)
    assert {token for *_, token in server.choices} == {"Token simulated-0"}
    assert summary["votes"] == {"identity": 2, "controllability": 2}
    # Identity shows two references and controllability one, besides both clips: all of it is fetched.
    assert server.requests["media"] == 2 * (2 + 2) + 2 * (2 + 1)


def test_it_alternates_tracks_and_annotators_share_the_work(serve):
    server = serve([(-1, -900)] * 10)
    accounts = [{**PLAIN, "username": f"simulated-{n}", "seed": n} for n in range(4)]
    summary = simulate(Site(server.api, 7), accounts, PlantedEye())
    assert [track for track, *_ in server.choices[:8]] == [Track.IDENTITY] * 4 + [Track.CONTROLLABILITY] * 4
    votes = [a["tracks"]["identity"]["votes"] for a in summary["annotators"].values()]
    assert sorted(votes) == [2, 2, 3, 3]


def test_it_goes_on_after_a_lost_lease(serve):
    server = serve([(-1, -900)] * 3, conflicts=4)
    summary = simulate(Site(server.api, 7), [PLAIN], PlantedEye())
    assert summary["conflicts"] == 4
    assert summary["votes"] == {"identity": 3, "controllability": 3}


def test_it_gives_up_when_every_lease_is_lost(serve):
    with pytest.raises(SimulationError, match="lost 20 leases in a row"):
        simulate(Site(serve([(-1, -900)], conflicts=1000).api, 7), [PLAIN], PlantedEye())


def test_it_says_who_cannot_sign_in(serve):
    with pytest.raises(SimulationError, match="simulated-0 cannot sign in: 400"):
        simulate(Site(serve([]).api, 7), [{**PLAIN, "password": "wrong"}], PlantedEye())


def test_it_says_what_an_account_lacks(serve):
    with pytest.raises(SimulationError, match="no 'accuracy'"):
        simulate(Site(serve([]).api, 7), [{"username": "simulated-0"}], PlantedEye())


def share(choices, wanted):
    return sum(choice == wanted for choice in choices) / len(choices)


@pytest.mark.parametrize(
    ("accuracy", "tie_rate", "side_bias"),
    [(0.85, 0.1, 0.0), (0.85, 0.1, 0.3), (0.6, 0.0, 0.0), (1.0, 0.0, 1.0)],
)
def test_its_stated_behaviour_is_found_again(accuracy, tie_rate, side_bias):
    """Right is said with (1 - tie) * (1 - bias) * accuracy where it is the truth, and in error where left is.

    The bound is four standard deviations of a share of n = 4000: 4 * sqrt(p (1 - p) / n) <= 0.032.
    """
    behaviour, rng = Behaviour(accuracy, tie_rate, side_bias), random.Random(5)
    told_right = [behaviour.answer("right", rng) for _ in range(4000)]
    told_left = [behaviour.answer("left", rng) for _ in range(4000)]
    told_tie = [behaviour.answer("tie", rng) for _ in range(4000)]
    free = (1 - tie_rate) * (1 - side_bias)
    assert share(told_right, "tie") == pytest.approx(tie_rate, abs=0.032)
    assert share(told_right, "right") == pytest.approx(free * accuracy, abs=0.032)
    assert share(told_left, "right") == pytest.approx(free * (1 - accuracy), abs=0.032)
    assert share(told_tie, "tie") == pytest.approx(tie_rate + free * accuracy, abs=0.032)


def test_a_served_round_shows_the_same_shares(serve):
    """Over HTTP too: 60 pairs per track where right is better, so p = 0.9 * 0.8 * 0.85 = 0.612.

    Four standard deviations of a share of n = 120 are 0.178.
    """
    server = serve([(-900, -1)] * 60)
    account = {**PLAIN, "accuracy": 0.85, "tie_rate": 0.1, "side_bias": 0.2}
    simulate(Site(server.api, 7), [account], PlantedEye())
    assert share([choice for *_, choice, _ in server.choices], "right") == pytest.approx(0.612, abs=0.178)


def test_the_same_seed_gives_the_same_answers(serve):
    accounts = [{**PLAIN, "accuracy": 0.5}]
    answers = []
    for _ in range(2):
        server = serve([(-900, -1)] * 20)
        simulate(Site(server.api, 7), accounts, PlantedEye())
        answers.append([choice for *_, choice, _ in server.choices])
    assert answers[0] == answers[1]
    assert set(answers[0]) == {"left", "right"}


def test_it_goes_on_with_the_same_seed_where_it_was_killed(serve):
    server = serve([(-900, -1)] * 3)
    simulate(Site(server.api, 7), [PLAIN], PlantedEye())
    server.slots = {track: [(-900, -1)] * 3 for track in Track}
    summary = simulate(Site(server.api, 7), [PLAIN], PlantedEye())
    assert summary["conflicts"] == 0 and summary["votes"] == {"identity": 3, "controllability": 3}


@pytest.mark.parametrize("wrong", [{"accuracy": 1.1}, {"tie_rate": -0.1}, {"side_bias": 2}])
def test_it_refuses_what_is_no_share(wrong):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        Behaviour(**{"accuracy": 0.8, "tie_rate": 0.1, "side_bias": 0.0, **wrong})


def test_it_refuses_to_judge_what_has_no_truth():
    lease = {
        "lease": "x",
        "track": "controllability",
        "left": "l",
        "right": "r",
        "references": [{"url": "p"}],
        "elements": None,
    }
    with pytest.raises(ValueError, match="no truth to read"):
        read_scores(lease, {"l": b"1", "r": b"0", "p": b"photo"}, PlantedEye())


@pytest.mark.parametrize("track", list(Track))
def test_a_just_noticeable_difference_is_seen_by_three_in_four(track):
    """Right is seen where noise does not turn the difference round, a tie where less than half of it is left.

    With noise of JND / 0.6745 about a difference of JND: right in 1 - Phi(-0.337) = 0.632, wrong in
    Phi(-1.012) = 0.156. Four standard deviations of a share of n = 4000 are 0.032.
    """
    rng = random.Random(3)
    worse = -JUST_NOTICEABLE[track]
    seen = [better_side(track, worse, 0.0, rng) for _ in range(4000)]
    assert share(seen, "right") == pytest.approx(0.632, abs=0.032)
    assert share(seen, "left") == pytest.approx(0.156, abs=0.032)
    assert share([better_side(track, worse - 60, -60, rng) for _ in range(4000)], "right") < 0.5, "Weber"
    assert better_side(track, worse, 0.0) == "right" and better_side(track, 0.0, 0.0) == "tie"


def test_the_oracle_reads_each_file_once(tmp_path):
    from PIL import Image

    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "photo.png")
    content = (tmp_path / "photo.png").read_bytes()
    shapes = []

    def read(frames):
        shapes.append(frames.shape)
        return SimpleNamespace(identity=np.ones(3), elements={})

    eye = OracleEye(SimpleNamespace(read=read))
    assert eye._read(content) is eye._read(bytes(content))
    assert shapes == [(1, 8, 8, 3)]
