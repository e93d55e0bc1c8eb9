"""Ray clusters on this machine, of nodes that say how many GPUs they have."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from ray.cluster_utils import Cluster


@contextlib.contextmanager
def cluster(num_cpus: int, num_gpus: int, **settings: Any) -> Iterator[Cluster]:
    """A cluster of one node, until the block ends. settings: further ones, of Ray's own, for its head."""
    head = {"num_cpus": num_cpus, "num_gpus": num_gpus, "include_dashboard": False, **settings}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="lance is not fork-safe")  # see pipelines/ray_cluster.py
        made = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield made
        finally:
            made.shutdown()  # type: ignore[no-untyped-call]
