"""When certificates end: of files that the configuration names, and of keys that were fetched."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.config import Config
from gateway.operations.certificates import CertificateEnd, certificate_ends
from support.certificates import issue

DAY = 86_400


def config_of(folder: Path, **sections: object) -> Config:
    """A configuration with one provider, whose data directory is ``folder``."""
    topic = {"topic_arn": "arn:aws:sns:eu-west-1:123456789012:orders"}
    providers = {"sns": {"adapter": "aws_sns", "secrets": [], "parameters": topic}}
    return Config.model_validate({"data_dir": str(folder), "providers": providers, **sections})


def test_a_configuration_without_certificates_has_none(tmp_path: Path) -> None:
    """Nor does one whose keys were never fetched."""
    assert certificate_ends(config_of(tmp_path)) == []


def test_a_chain_ends_with_its_first_certificate_and_authorities_with_their_last(tmp_path: Path) -> None:
    """An authority that was replaced may stay in the file."""
    authority = issue("authority", is_authority=True, at=0, days=50)
    own = issue("client", authority, at=0, days=20)
    renewed = issue("renewed", is_authority=True, at=0, days=90)
    (tmp_path / "client.pem").write_bytes(own.pem + authority.pem + own.key_pem.encode())
    (tmp_path / "ca.pem").write_bytes(authority.pem + renewed.pem)
    tls = {"ca": str(tmp_path / "ca.pem"), "cert": str(tmp_path / "client.pem")}

    found = certificate_ends(config_of(tmp_path, redis={"url": "rediss://localhost:1/0", "tls": tls}))

    assert found == [CertificateEnd("redis", "client", 20 * DAY), CertificateEnd("redis", "ca", 90 * DAY)]


def test_of_fetched_keys_the_newest_counts(tmp_path: Path) -> None:
    """Keys that the provider no longer signs with stay on disk; what is no certificate, or no file of keys, is left out."""
    authority = issue("authority", is_authority=True, at=0, days=500)
    old, new = issue("old", authority, at=0, days=10), issue("new", authority, at=0, days=40)
    folder = tmp_path / "keys"
    folder.mkdir()
    kept = [
        {"name": name, "fetched_at": 1.0, "content": content.decode()}
        for name, content in (
            ("a", new.pem + authority.pem),
            ("b", old.pem),
            ("c", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
            ("d", b"{}"),
        )
    ]
    (folder / "sns.json").write_text(json.dumps({"scope": "", "keys": kept}))

    assert certificate_ends(config_of(tmp_path)) == [CertificateEnd("sns", "key", 40 * DAY)]

    (folder / "sns.json").write_text("[")
    assert certificate_ends(config_of(tmp_path)) == []
