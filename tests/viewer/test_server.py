"""The server answers its own page and nobody else, and changes nothing unless it may."""

from __future__ import annotations

import http.client
import json
from pathlib import Path

import pytest
from pages import unpacked
from workspace import BEHAVIOUR, PROFILE, one_line_error, run

from circuitstore.storage.layout import Store


class Client:
    """Requests to a server, with what its own page would send."""

    def __init__(self, server):
        self.server, self.own = server, server.hosts[0]

    def __call__(self, path="/api/record/store", method="GET", body=None, **headers):
        sent = {"Host": self.own, "Authorization": f"Bearer {self.server.token}"}
        sent |= {"Content-Type": "application/json"} if body is not None else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(*self.server.server_address[:2], timeout=60)
        connection.putrequest(method, path, skip_host=True)
        data = b"" if body is None else json.dumps(body).encode()
        for name, value in ({**sent, "Content-Length": str(len(data))}).items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(data)
        answer = connection.getresponse()
        answer.body = answer.read()
        connection.close()
        return answer


@pytest.fixture
def reading(serve):
    return Client(serve())


@pytest.fixture
def reviewing(serve):
    return Client(serve("Ann"))


def test_it_listens_on_loopback_only(reading):
    """No other machine reaches it."""
    assert reading.server.server_address[0] == "127.0.0.1"


def test_the_page_and_its_records_are_answered(reading):
    """With the token in the address, or from the page itself."""
    page = reading(f"/?token={reading.server.token}", Authorization=None)
    assert page.status == 200 and b'id="records"' in page.body
    record = reading()
    assert record.status == 200 and unpacked(record.body)["behaviours"] == [BEHAVIOUR]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Host": None},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Authorization": None},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic ä"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/", "/api/record/store"])
def test_others_are_refused(reading, path, headers):
    """A foreign name, a foreign page, or no token: nothing of the store is answered."""
    answer = reading(path, **headers)
    assert answer.status in (400, 403, 421) and b"plural" not in answer.body and len(answer.body) < 200


def test_every_answer_forbids_what_it_does_not_need(reading):
    """The policy, no guessing of types, no referrer, no frame around it."""
    for answer in (reading(), reading("/"), reading("/nothing")):
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "http:" not in policy and "*" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "key", ["..%2f..%2fetc%2fpasswd", "graph/mine/..%2f..", "graph/mine/%00", "feature/mine/1e9/1"]
)
def test_odd_keys_are_answered_with_an_error(reading, key):
    """No key leads out of the store, and none ends the server."""
    answer = reading(f"/api/record/{key}")
    assert answer.status == 400 and b"Traceback" not in answer.body
    assert reading().status == 200


def decision(server: Client, label="a label", note="", before=None, **more):
    units = unpacked(server(f"/api/record/features/{BEHAVIOUR}").body)
    row = {"behaviour": BEHAVIOUR, "layer": int(units["layer"][0]), "feature": int(units["feature"][0])}
    none = {"label": "", "author": "", "note": ""}
    return row | {"label": label, "note": note, "before": before or none} | more


def send(server: Client, **what):
    return server("/api/review", "POST", decision(server, **what))


def reviews(store: Path) -> list[Path]:
    return sorted(Path(Store(str(store)).reviews(PROFILE, BEHAVIOUR)).glob("*.json"))


def test_without_review_nothing_is_stored(reading):
    """Read only means that a decision is refused."""
    assert send(reading).status == 403
    assert reviews(reading.server.store) == []


def test_a_decision_is_stored_with_author_and_time(reviewing):
    """As the artifact that `review import` writes, and shown from then on."""
    answer = send(reviewing, label=" plural subject ", note="sure")
    assert answer.status == 200
    assert json.loads(answer.body) == {"label": "plural subject", "author": "Ann", "note": "sure"}
    (path,) = reviews(reviewing.server.store)
    stored = path.read_text()
    assert '"author":"Ann"' in stored and '"time_ns":' in stored
    units = unpacked(reviewing(f"/api/record/features/{BEHAVIOUR}").body)
    assert (units["reviewer_label"][0], units["reviewer"][0]) == ("plural subject", "Ann")


def test_of_two_decisions_none_is_lost(reviewing, serve):
    """Who decides without having seen the other's label is told of it, and may insist."""
    other = Client(serve("Bob"))
    assert send(reviewing, label="mine").status == 200
    theirs = {"label": "mine", "author": "Ann", "note": ""}
    answer = send(other, label="different")
    assert answer.status == 409 and json.loads(answer.body) == theirs
    assert len(reviews(reviewing.server.store)) == 1
    assert send(other, label="different", before=theirs).status == 200
    assert len(reviews(reviewing.server.store)) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"label": "  "},
        {"label": "x" * 10_001},
        {"layer": 99},
        {"layer": "0"},
        {"behaviour": "../x"},
        {"more": 1},
    ],
    ids=str,
)
def test_a_wrong_decision_is_refused(reviewing, wrong):
    """Nothing is stored, and the answer says why."""
    answer = send(reviewing, **wrong)
    assert answer.status == 400 and answer.body
    assert reviews(reviewing.server.store) == []


def test_too_much_is_not_read(reviewing):
    """A body larger than any decision is refused by its length."""
    assert reviewing("/api/review", "POST", {"label": "x" * 100_000}).status == 400


def test_a_form_of_another_site_cannot_decide(reviewing):
    """Only JSON is taken, which no form can send."""
    body = decision(reviewing)
    assert reviewing("/api/review", "POST", body, Content_Type="text/plain").status == 400


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--review"], "--author NAME"),
        (["--author", "Ann"], "--review beside it"),
        (["-p", "p0a"], "one --behaviour"),
    ],
)
def test_options_of_view_that_miss_something(built, words, said):
    """Told before anything is served."""
    where = ["--store", built.store, "--profile", built.profile, "--no-browser"]
    assert said in one_line_error(run("view", *where, *words), code=2)
