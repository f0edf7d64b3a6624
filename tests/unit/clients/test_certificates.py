"""Who can speak to whom: names in certificates, and when they are renewed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from api.names import PLATFORM_IDENTITY
from clients.tls.certificates import (
    LEAF_LIFETIME,
    RENEW_BEFORE,
    create_authority,
    issue_agent_certificate,
    issue_platform_certificate,
)


def parts(pem: bytes) -> tuple[list[str], list[x509.ObjectIdentifier]]:
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return names.get_values_for_type(x509.DNSName), list(usage)


def test_an_app_serves_under_its_own_name_and_is_no_client() -> None:
    pair = issue_agent_certificate(create_authority("test"), "x", "demo")
    assert parts(pair.certificate) == (["x.demo.agent.middleware.io"], [ExtendedKeyUsageOID.SERVER_AUTH])


def test_the_platform_is_a_client_and_serves_nothing() -> None:
    pair = issue_platform_certificate(create_authority("test"))
    assert parts(pair.certificate) == ([PLATFORM_IDENTITY], [ExtendedKeyUsageOID.CLIENT_AUTH])


def test_an_authority_signs_only_its_own() -> None:
    own, other = create_authority("one"), create_authority("one")
    leaf = x509.load_pem_x509_certificate(issue_platform_certificate(own).certificate)
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(own.certificate))
    with pytest.raises(InvalidSignature):
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(other.certificate))


def test_a_name_longer_than_a_subject_may_be_is_issued() -> None:
    app, namespace = "a" * 50, "b" * 63
    pair = issue_agent_certificate(create_authority("test"), app, namespace)
    assert parts(pair.certificate)[0] == [f"{app}.{namespace}.agent.middleware.io"]


def test_renewal_is_due_long_before_the_end() -> None:
    pair = issue_agent_certificate(create_authority("test"), "x", "demo")
    now = datetime.now(UTC)
    assert not pair.due(now)
    assert pair.due(now + LEAF_LIFETIME - RENEW_BEFORE + timedelta(days=1))


def test_a_key_is_not_shown() -> None:
    assert "PRIVATE" not in repr(create_authority("test"))
