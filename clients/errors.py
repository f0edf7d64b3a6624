"""What can go wrong when speaking to the API server, as types: callers decide by class, people read the sentence."""

from __future__ import annotations

import json
from typing import Any


class KubernetesError(Exception):
    """The API server answered with an error. ``status`` is the HTTP code, ``reason`` the API's one word for it."""

    causes: tuple[tuple[str, str], ...] = ()
    """Fields, and what is wrong with each, where the API server names them."""

    def __init__(self, doing: str, status: int, reason: str, message: str) -> None:
        super().__init__(f"{doing}: {message}" if message else f"{doing}: {status} {reason}")
        self.status = status
        self.reason = reason
        self.message = message


class NotFoundError(KubernetesError):
    """404: the object, its namespace, or the whole kind is not there."""


class ConflictError(KubernetesError):
    """409 on an update: somebody else wrote in between. Read again, then decide whether the own write has landed."""


class AlreadyExistsError(ConflictError):
    """409 on a create."""


class GoneError(KubernetesError):
    """410: the resourceVersion is too old to go on from; list again."""


class InvalidError(KubernetesError):
    """400 or 422: the object is wrong, and sending it again will not help."""


class InvalidNameError(InvalidError):
    """The call was never made: what was given as a name could be none, and might have led to another object."""


class ForbiddenError(KubernetesError):
    """401 or 403: missing RBAC, a quota, an admission policy, or a namespace that is being deleted."""


class UnavailableError(KubernetesError):
    """No answer, 429 or 5xx: try again. ``retry_after`` in seconds where the API server named one."""

    def __init__(self, doing: str, status: int, reason: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(doing, status, reason, message)
        self.retry_after = retry_after


_TYPES: dict[int, type[KubernetesError]] = {
    400: InvalidError,
    401: ForbiddenError,
    403: ForbiddenError,
    404: NotFoundError,
    405: InvalidError,
    409: ConflictError,
    410: GoneError,
    413: InvalidError,
    415: InvalidError,
    422: InvalidError,
}


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {"message": body[:500].decode("utf-8", "replace")}
    return parsed if isinstance(parsed, dict) else {}


def error_from(doing: str, status: int, body: bytes, *, retry_after: float | None = None) -> KubernetesError:
    """The typed error for an HTTP answer whose body is (usually) a ``Status`` object."""
    return error_from_status(doing, status, _parsed(body), retry_after=retry_after)


def error_from_status(
    doing: str, status: int, answer: dict[str, Any], *, retry_after: float | None = None
) -> KubernetesError:
    """The same for a ``Status`` object that came as a watch event."""
    reason, message = str(answer.get("reason") or ""), str(answer.get("message") or "")
    if status == 429 or status >= 500:
        return UnavailableError(doing, status, reason, message, retry_after=retry_after)
    if reason == "AlreadyExists":
        return AlreadyExistsError(doing, status, reason, message)
    error = _TYPES.get(status, KubernetesError)(doing, status, reason, message)
    error.causes = _causes(answer)
    return error


def _causes(answer: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    causes = (answer.get("details") or {}).get("causes") or []
    return tuple((str(each.get("field") or ""), str(each.get("message") or "")) for each in causes)
