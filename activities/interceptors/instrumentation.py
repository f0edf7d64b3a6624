"""Around every activity: its duration as a histogram, one log line when it fails, and errors as the retry policy
needs them.

What the API server rejects as invalid, or a template that does not render, fails again the same way: the operation
ends with the sentence. Everything else is tried again.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from prometheus_client import Histogram
from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.dependencies import permanent
from api.steps import ErrorType
from clients.errors import InvalidError, InvalidNameError
from render.plugin.templates import TemplateFailure

log = logging.getLogger(__name__)

DURATION = Histogram(
    "middleware_activity_seconds",
    "Wall time of one attempt of an activity, by activity type and outcome (ok, failed, cancelled)",
    ["activity", "outcome"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 3600),
)


def for_good(error: Exception) -> ApplicationError | None:
    """What an activity's error becomes that fails the same way again; None for one that may pass by itself, and for
    what is an ApplicationError already."""
    if isinstance(error, InvalidNameError):
        return permanent(ErrorType.REJECTED, str(error))
    if isinstance(error, InvalidError):
        return permanent(ErrorType.REJECTED, f"the API server refuses it: {error}")
    if isinstance(error, TemplateFailure):
        return permanent(ErrorType.TEMPLATE, str(error))
    return None


class Instrumentation(Interceptor):
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Observed(next)


class _Observed(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        began, outcome = time.monotonic(), "failed"
        try:
            result = await super().execute_activity(input)
            outcome = "ok"
            return result
        except (CancelledError, ApplicationError) as error:
            outcome = "cancelled" if isinstance(error, CancelledError) else "failed"
            if outcome == "failed":
                self._log(info, error)
            raise
        except Exception as error:
            self._log(info, error)
            if (told := for_good(error)) is not None:
                raise told from error
            raise
        except BaseException:
            outcome = "cancelled"
            raise
        finally:
            DURATION.labels(info.activity_type, outcome).observe(time.monotonic() - began)

    def _log(self, info: activity.Info, error: Exception) -> None:
        log.warning(
            "%s failed: %s",
            info.activity_type,
            error,
            extra={"workflow": info.workflow_id, "attempt": info.attempt},
        )
