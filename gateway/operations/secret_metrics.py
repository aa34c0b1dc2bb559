"""The evidence for a rotation as metrics."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily

from gateway.operations.secrets import SecretEvidence

NAME = "webhook_secret_last_match_timestamp_seconds"
DOCUMENTATION = "When a request last matched each configured secret, in Unix seconds; 0 if none did."
LABELS = ("provider", "slot", "fingerprint")


def secret_metrics(evidence: Iterable[SecretEvidence]) -> GaugeMetricFamily:
    """Return the metric of the last matches."""
    family = GaugeMetricFamily(NAME, DOCUMENTATION, labels=list(LABELS))
    for each in evidence:
        family.add_metric([each.provider, str(each.slot), each.fingerprint], each.last_match_at or 0.0)
    return family
