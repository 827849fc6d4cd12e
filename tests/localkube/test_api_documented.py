"""What no recording holds: access, policies, warnings and the proxy, as Kubernetes documents them."""

from __future__ import annotations

from tests.localkube.api_replay import documented_results
from tests.localkube.api_support import LocalKube


def test_localkube_answers_as_kubernetes_documents_it(localkube: LocalKube) -> None:
    wrong = [(each.name, each.recorded, each.answered) for each in documented_results(localkube) if not each.equal]
    assert wrong == []
