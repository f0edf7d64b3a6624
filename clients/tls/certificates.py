"""The installation's certificate authority, the platform's client certificate, and a server certificate for each App.

An agent accepts only the platform's identity, and the platform only the App's own name, so one App's key opens no other
App's agents. Elliptic keys, because a server certificate is made within the first second of a Deploy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from api.names import PLATFORM_IDENTITY, agent_tls_server_name

AUTHORITY_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
RENEW_BEFORE = timedelta(days=120)
"""A third of the life is left: a platform that is down for weeks still finds valid certificates."""
CLOCK_SKEW = timedelta(minutes=10)


@dataclass(frozen=True)
class KeyPair:
    """PEM texts. Never logged, never in a workflow's history."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "KeyPair(...)"

    @property
    def not_after(self) -> datetime:
        return x509.load_pem_x509_certificate(self.certificate).not_valid_after_utc

    def due(self, now: datetime) -> bool:
        """Whether it should be replaced by now."""
        return self.not_after - now < RENEW_BEFORE

    def issued_by(self, authority: KeyPair) -> bool:
        certificate, issuer = (x509.load_pem_x509_certificate(each.certificate) for each in (self, authority))
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


def _key() -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key, pem


def _name(common_name: str) -> x509.Name:
    # The subject's limit is 64 characters (RFC 5280); what is checked is the subject alternative name.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def create_authority(installation: str) -> KeyPair:
    """A new authority for one installation."""
    key, pem = _key()
    now = datetime.now(UTC)
    name = _name(f"middleware platform {installation}")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), pem)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _leaf(authority: KeyPair, names: Sequence[str], usage: x509.ObjectIdentifier) -> KeyPair:
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = serialization.load_pem_private_key(authority.key, password=None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise ValueError("the platform CA's key is not an elliptic one; make the CA anew with mw install-pki")
    key, pem = _key()
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(names[0]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(min(now + LEAF_LIFETIME, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), pem)


def issue_agent_certificate(authority: KeyPair, app: str, namespace: str) -> KeyPair:
    """Both agents of all nodes of an App serve with it."""
    return _leaf(authority, [agent_tls_server_name(app, namespace)], ExtendedKeyUsageOID.SERVER_AUTH)


def issue_platform_certificate(authority: KeyPair) -> KeyPair:
    """What watcher and worker show to agents."""
    return _leaf(authority, [PLATFORM_IDENTITY], ExtendedKeyUsageOID.CLIENT_AUTH)
