"""Push, pull and upstream against servers that speak the real protocols, on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_writes import WritableHub
from places import empty, failing, pull, push, sound
from servers import s3_server, ssh_server
from workspace import TEXTS, Workspace, one_line_error

ELSEWHERE = {"s3": "s3://no-such-bucket/x", "ssh": "ssh://127.0.0.1:1/x", "hf": "hf://nobody/nothing/x"}


@pytest.fixture(params=["s3", "ssh", "hf"])
def url(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub_client) -> Iterator[str]:
    """An address where nothing lies yet."""
    if request.param == "s3":
        with s3_server(monkeypatch) as found:
            yield found
    elif request.param == "hf":
        from huggingface_hub import HfFileSystem

        HfFileSystem.clear_instance_cache()
        with WritableHub() as hub:
            hub.create("somebody/results")
            hub_client(hub, tmp_path / "home")
            yield "hf://somebody/results/a/store"
            assert all(len(commit) > 0 for commit in hub.commits)
    else:
        (tmp_path / "ssh").mkdir()
        with ssh_server(tmp_path / "ssh", monkeypatch) as found:
            yield found


def test_results_go_there_and_come_back(workspace: Workspace, url, tmp_path):
    """All of it once, then only what changed; another one builds on it, and computes one prompt."""
    sent = push(workspace, url)
    assert sent.code == 0, sent.err
    assert not any(push(workspace, url).json.values())
    other = empty(workspace, tmp_path / "other")
    came = pull(other, url)
    assert came.code == 0, came.err
    assert sound(other) == workspace.contents()
    assert (came.json["objects"], came.json["bytes"]) == (sent.json["objects"], sent.json["bytes"])
    third = empty(workspace, tmp_path / "third")
    third.write_prompts({**TEXTS, "c": "the dogs"})
    outcome = third.build("--upstream", url)
    assert outcome.computed["baseline"] == outcome.computed["attribution"] == 1, outcome.err
    again = push(third, url)
    assert again.code == 0 and 0 < again.json["bytes"] < sent.json["bytes"], again
    fourth = empty(third, tmp_path / "fourth")
    assert pull(fourth, url, "attribution", "--with-inputs").code == 0
    assert fourth.contents(("attribution",)) == third.contents(("attribution",))


def test_a_line_that_is_cut_there(workspace, url, tmp_path):
    """At some calls of a push: what came through is whole, and the next push ends it."""
    if url.startswith("hf"):
        pytest.skip("its files come in commits, which are whole or not there")
    for moment in (2, 7, 12, 20):
        with failing(moment):
            cut = push(workspace, f"{url}-{moment}", "features", "--with-inputs")
        assert cut.code == 1 and "the line is cut" in cut.err, cut
        other = empty(workspace, tmp_path / f"other-{moment}")
        pull(other, f"{url}-{moment}")
        if other.store.exists():
            assert other.verify("--deep").json["damaged"] == []
        assert push(workspace, f"{url}-{moment}", "features", "--with-inputs").code == 0
        assert pull(other, f"{url}-{moment}").code == 0
        assert sound(other, ("features",)) == workspace.contents(("features",))


def test_a_place_that_is_not_there(workspace, url, tmp_path):
    """One line says where, and what the service answered."""
    error = one_line_error(pull(workspace, f"{url}/nothing"), code=1)
    assert "nothing" in error and "no format.json" in error
    elsewhere = ELSEWHERE[url.partition(":")[0]]
    error = one_line_error(push(workspace, elsewhere), code=1)
    assert elsewhere in error and "mend the connection" in error


def test_a_host_that_nobody_knows_is_refused(workspace, tmp_path, monkeypatch):
    """As the command ssh would ask first: else whoever answers in its place is given everything."""
    with ssh_server(tmp_path, monkeypatch) as url:
        (tmp_path / "home" / ".ssh" / "known_hosts").write_text("")
        error = one_line_error(push(workspace, url), code=1)
        assert "known_hosts" in error and "connect once with the command ssh" in error
        assert not (tmp_path / "there").exists()
