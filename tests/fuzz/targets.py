"""Every decoder that reads a stranger's bytes, by name; both runners take them from here."""

from __future__ import annotations

from tests.fuzz import (
    amd_and_nvidia,
    appraisal,
    compressed,
    forms,
    intel,
    masked,
    readers,
    sealed,
    seeds,
    tpm,
)
from tests.fuzz.examples import MESSAGES
from tests.fuzz.target import CANONICAL, JSON, Target, json_bytes
from tests.fuzz.world import things
from tests.journals import MANIFEST

from hanse.config.settings import AggregatorSettings, OperatorSettings, SiteSettings
from hanse.core.plan.plan import Plan
from hanse.errors import ConfigError, PlanError
from hanse.pki import certificates, enrolment

SHORT = 1 << 14
"""Bytes of YAML, which is read by plain Python."""

_MESSAGES = (
    Target(
        f"message-{kind.__name__}",
        readers.message(kind),
        lambda example=example: [json_bytes(example)],  # type: ignore[misc]
        JSON,
    )
    for kind, example in MESSAGES.items()
)

_COMPRESSED = (
    Target(f"compressed-{name}", compressed.update_reader(name), compressed.update_seeds(name), forms.TENSORS)
    for name in compressed.CHAINS
)

_DEVICES = (
    Target("snp-report", amd_and_nvidia.snp_report, amd_and_nvidia.snp_reports),
    Target("snp-vcek", amd_and_nvidia.endorsement, amd_and_nvidia.endorsements),
    Target("snp-table", amd_and_nvidia.certificate_table, amd_and_nvidia.certificate_tables),
    Target("snp-issuer", amd_and_nvidia.snp_issuer, amd_and_nvidia.snp_issuers),
    Target("gpu-report", amd_and_nvidia.gpu_report, amd_and_nvidia.gpu_reports),
)

_OTHERS = (
    Target("model-delta", compressed.read_delta, compressed.deltas, forms.TENSORS),
    Target("error-reply", readers.error, lambda: [b'{"error":"trust","message":"no","mend":""}'], JSON),
    Target("statement", readers.statement, seeds.statements, forms.STATEMENT),
    Target("tensors", readers.tensors_file, seeds.tensor_files, forms.TENSORS),
    Target("update", readers.update, lambda: seeds.tensor_files()[:1], forms.TENSORS),
    Target("grouped-update", readers.grouped_update, lambda: seeds.grouped_updates()[:1], forms.TENSORS),
    Target("group-file", readers.group_file, lambda: seeds.grouped_updates()[1:], forms.TENSORS),
    Target("aggregate", readers.aggregate, seeds.aggregates, forms.TENSORS),
    Target("manifest", readers.manifest, lambda: [MANIFEST.to_bytes()], CANONICAL),
    Target("yaml", readers.dialect, lambda: [text.encode() for text in seeds.YAML], forms.YAML, SHORT),
    Target(
        "plan",
        readers.settings(Plan, PlanError, None),
        lambda: [seeds.PLAN.encode(), seeds.GROUPED.encode()],
        forms.YAML,
        SHORT,
    ),
    Target(
        "site-yaml",
        readers.settings(SiteSettings, ConfigError, {"root": readers.scratch()}),
        lambda: [seeds.SITE.encode()],
        forms.YAML,
        SHORT,
    ),
    Target(
        "aggregator-yaml",
        readers.settings(AggregatorSettings, ConfigError, None),
        lambda: [seeds.AGGREGATOR.encode()],
        forms.YAML,
        SHORT,
    ),
    Target(
        "operator-yaml",
        readers.settings(OperatorSettings, ConfigError, None),
        lambda: [seeds.OPERATOR.encode()],
        forms.YAML,
        SHORT,
    ),
    Target("journal-lines", readers.lines, lambda: [things().journal], forms.LINES),
    Target("audit", readers.audit, seeds.journals, forms.LINES),
    Target("audit-resealed", readers.audit, seeds.journals, forms.RESEALED),
    Target("receipts", readers.receipts, lambda: [things().receipts], forms.LINES),
    Target("receipts-resigned", readers.receipts, lambda: [things().receipts], forms.RESIGNED),
    Target(
        "acknowledgement",
        readers.acknowledgement,
        lambda: [json_bytes({"statement": things().acknowledgement})],
        JSON,
    ),
    Target("events", readers.events, seeds.event_lists, JSON),
    Target("membership", readers.membership, seeds.membership_lists, JSON),
    Target("token", readers.token, lambda: [things().token.encode()], forms.TOKEN),
    Target("certificate-pem", readers.certificate(certificates.read_certificate), seeds.pems),
    Target("certificate-der", readers.certificate(certificates.read_der), lambda: [things().certificate_der]),
    Target(
        "request-pem",
        lambda data: enrolment.read_csr(data.decode("utf-8", "replace")),
        lambda: [things().csr.encode()],
    ),
    Target("enrolment-file", readers.request, lambda: [things().request.encode()]),
    Target("roster-place", readers.place, lambda: [b'{"place":1,"size":3,"path":[]}'], JSON),
    Target("sum-ready", readers.ready, seeds.readys, JSON),
    Target("sum-ready-request", masked.request, masked.requests, forms.READY),
    Target("sum-roster", masked.roster, masked.rosters, forms.ROSTER),
    Target("masked-vector", masked.vector, masked.vectors, forms.TENSORS),
    Target("masked-outcome", readers.statement, masked.outcomes, forms.STATEMENT),
    Target("vector-facts", masked.read_facts, masked.facts, JSON),
    Target("signers", readers.signers, seeds.signers),
    Target("key-pem", readers.key, lambda: [things().key_pem]),
    Target("worker-report", readers.reports, seeds.report_frames, forms.FRAMES),
    Target("worker-call", readers.calls, seeds.call_frames, forms.FRAMES),
    Target("text", readers.text, seeds.texts, JSON),
)

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        *_MESSAGES,
        *_COMPRESSED,
        *_DEVICES,
        *_OTHERS,
        *intel.TARGETS,
        *appraisal.TARGETS,
        *tpm.TARGETS,
        *sealed.TARGETS,
    )
}
