"""Own passwords: what nobody can write into a file, or the engine cannot keep, is said before anything is touched.

Pure. What is said names the Secret's key and the sign, never the password.
"""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from api.names import credentials_name
from api.plugin import Credential
from render.desired.app import DesiredApp
from render.plugin.problems import Problem

_CONTROL = ("Cc", "Zl", "Zp")
"""Unicode's categories of control characters and of separators of lines and paragraphs."""


def password_problems(desired: DesiredApp, secret: Mapping[str, Any] | None) -> Iterator[Problem]:
    """``secret``: the App's credentials as the API server has them, None where they are yet to be made."""
    data = (secret or {}).get("data") or {}
    for credential in desired.credentials:
        text = data.get(credential.name)
        wrong = _wrong(credential, desired.topology, text) if text else ""
        if wrong:
            yield Problem(f"Secret {credentials_name(desired.name)}: {credential.name}", wrong)


def _wrong(credential: Credential, topology: str, text: str) -> str:
    try:
        # As the agents read it: a last line break is what editors and kubectl leave.
        value = base64.b64decode(text).decode().rstrip("\r\n")
    except ValueError:
        return "is not UTF-8 text; write letters, digits and signs"
    if not value:
        return "is empty; write a password, or remove the key, and one is made"
    if any(unicodedata.category(sign) in _CONTROL for sign in value):
        return "has a line break or another control character in it; write it on one line"
    for rule in credential.unwritable:
        found = sorted(set(rule.signs) & set(value))
        if found and (not rule.topologies or topology in rule.topologies):
            named = ", ".join("a space" if sign == " " else sign for sign in found)
            return f"may not have {named} in topology {topology}, because {rule.reason}; choose another password"
    return ""
