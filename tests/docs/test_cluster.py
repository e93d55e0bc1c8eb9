"""Every command of docs/cluster.md and docs/kuberay.yaml, on a cluster of two nodes and a real S3 server."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from ray.scripts.scripts import start

from benchmarks import common as commanded
from tests.cli.runner import document, vimoclip
from tests.clusters import cluster
from tests.docs.pages import ROOT, commands
from tests.object_store import Server
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.verify import verify

pytestmark = pytest.mark.ray

BUCKET = "s3://animals/store"  # that both speak of


def of(program: str) -> list[str]:
    """The page's commands that call a program."""
    return [line for line in commands("docs/cluster.md") if line.startswith(f"{program} ")]


def job() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "kuberay.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[str]:
    """The address of a cluster of two nodes with a GPU each, as they say."""
    with cluster(num_cpus=1, num_gpus=1) as made:
        made.add_node(num_cpus=1, num_gpus=1)
        made.wait_for_nodes()
        yield str(made.address)


def test_the_page_has_the_commands_that_are_tested_here() -> None:
    programs = {line.split()[0] for line in commands("docs/cluster.md")}
    assert programs == {"vimoclip", "ray", "kubectl", "export"}  # the last are the variables of the other tests
    assert len(of("vimoclip")) >= 6
    assert len(of("ray")) == 3


@pytest.mark.parametrize(
    "command", list(dict.fromkeys([*of("vimoclip"), job()["spec"]["entrypoint"]])), ids=lambda line: line[9:]
)
def test_it_runs(
    command: str,
    two_nodes: str,
    server: Server,
    clips: Path,
    tiny_model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", two_nodes)  # as on every node that KubeRay starts
    store = BUCKET + tmp_path.name if BUCKET in command else str(tmp_path / "store")
    said = {"videos/": str(clips), "/videos": str(clips), "HEAD:6379": two_nodes, BUCKET: store}
    _, *words = [said.get(word, word) for word in shlex.split(command)]
    model = ["--clip-model", tiny_model, "--batch-size", "4"]
    if words[0] != "ingest":
        assert vimoclip("ingest", clips, "--store", store, *model).exit_code == 0
        model = []
    store_words = [] if store in words else ["--store", store]
    if "--engine" in words:  # a process that has started a cluster of its own cannot join another
        heard = commanded.finish(own := commanded.start([*words, *store_words, *model]))
        code = own.returncode
    else:
        result = vimoclip(*words, *store_words, *model)
        code, heard = result.exit_code, result.stderr
    assert code == 0, heard
    assert len(FeatureStore.open(store).live_takes()) == 10
    assert verify(store) == []
    if "--ray-address" in words:
        assert "2 Ray workers" in heard
        assert document(*words, *store_words)["known"] == 10


@pytest.mark.parametrize("command", [line for line in of("ray") if line.startswith("ray start")])
def test_ray_knows_the_options_that_start_a_node(command: str) -> None:
    start.make_context("ray start", shlex.split(command)[2:])
    with pytest.raises(click.NoSuchOption):
        start.make_context("ray start", ["--no-such-option"])


def test_ray_knows_the_options_of_the_job_and_its_own_version() -> None:
    import ray

    spec = job()["spec"]["rayClusterSpec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for group in groups:
        start.make_context("ray start", [f"--{name}={value}" for name, value in group["rayStartParams"].items()])
        (container,) = group["template"]["spec"]["containers"]
        (mount,) = container["volumeMounts"]
        assert mount["mountPath"] in job()["spec"]["entrypoint"]
    assert spec["rayVersion"] == ray.__version__
    assert [group["groupName"] for group in spec["workerGroupSpecs"]] == ["gpus"]


def test_the_secret_that_is_made_is_the_one_that_is_used() -> None:
    (made,) = [line.split()[4] for line in of("kubectl") if "create secret" in line]
    (head,) = job()["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"]
    assert head["envFrom"] == [{"secretRef": {"name": made}}]
