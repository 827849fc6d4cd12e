"""The errors of this package, by whose fault they are.

BigDataError
├── SpecError              the DAG author's: refused before anything is created
├── ClusterError           the Kubernetes API's answer, by status
│   ├── Unauthorized       401  credentials are missing, wrong or expired
│   ├── Forbidden          403  RBAC or an admission plugin says no
│   │   └── QuotaExceeded  403  a ResourceQuota is used up: waiting helps
│   ├── NotFound           404
│   ├── Conflict           409  a precondition failed (uid, resourceVersion)
│   │   └── AlreadyExists  409  an object of that name is there
│   ├── Gone               410  the resourceVersion is too old: list again
│   ├── Invalid            400, 413, 415, 422  the API refuses the object or the request
│   ├── Throttled          429  `retry_after` says how long to wait
│   ├── ServerFailed       5xx
│   └── Unreachable        no answer at all: connection, TLS, timeout
├── StorageFailed          the object storage's: it can't be reached, or fails
│   └── ArchiveFailed      logs can't be written to it or read from it
└── RunFailed              the job's: the driver failed, was killed or was lost
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class BigDataError(Exception):
    """Base of every error that this package raises on purpose."""


class SpecError(BigDataError):
    """What the DAG author wrote can't become a job.

    :param field: the field, argument or Spark key at fault.
    :param problem: the rule that is broken and what to do.
    :param value: the offending value, None to leave it out. Never pass a secret.
    """

    def __init__(self, field: str, problem: str, value: object = None) -> None:
        shown = "" if value is None else f" (got {value!r})"
        super().__init__(f"{field}: {problem}{shown}")
        self.field = field
        self.problem = problem


class ClusterError(BigDataError):
    """The Kubernetes API refused or failed a request.

    :param message: the API's own words, or what went wrong on the way.
    :param action: what was being done, such as "create pod etl/job-driver".
    :param status: the HTTP status; None when there was no answer.
    :param reason: the Status object's reason, such as "AlreadyExists".
    :param details: the Status object's details.
    :param retry_after: seconds that the server asks to wait; None if it did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        action: str = "",
        status: int | None = None,
        reason: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        where = f"Kubernetes, {action}" if action else "Kubernetes"
        code = f" [{status} {reason}".rstrip() + "]" if status else ""
        super().__init__(f"{where}: {message}{code}")
        self.message = message
        self.action = action
        self.status = status
        self.reason = reason
        self.details = dict(details or {})
        self.retry_after = retry_after

    @property
    def is_away(self) -> bool:
        """Whether the API, and not this request, is at fault: it is away or overloaded, and may answer later."""
        return isinstance(self, Unreachable | Unauthorized | Throttled) or self.status in (502, 503, 504)


class Unauthorized(ClusterError):
    """401."""


class Forbidden(ClusterError):
    """403 from RBAC or admission."""


class QuotaExceeded(Forbidden):
    """403 because a ResourceQuota is used up."""


class NotFound(ClusterError):
    """404."""


class Conflict(ClusterError):
    """409: the object is not in the state that the request assumed."""


class AlreadyExists(Conflict):
    """409 on create: the name is taken."""


class Gone(ClusterError):
    """410: the resourceVersion is no longer in the server's history."""


class Invalid(ClusterError):
    """400, 413, 415 or 422: the API does not accept the object or the request."""


class Throttled(ClusterError):
    """429."""


class ServerFailed(ClusterError):
    """5xx."""


class Unreachable(ClusterError):
    """No answer: refused, reset, TLS failure, name not found, timeout."""


_BY_STATUS: dict[int, type[ClusterError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: Throttled,
}


def from_status(
    status: int, body: Mapping[str, Any] | str, *, action: str = "", retry_after: float | None = None
) -> ClusterError:
    """The error for an HTTP answer: `body` is the decoded Status object, or text from something before the API."""
    if isinstance(body, str):
        body = {"message": body.strip()[:512]}
    said, why, details = body.get("message"), body.get("reason"), body.get("details")
    message = (said if isinstance(said, str) and said else "no message")[:2048]
    reason, details = why if isinstance(why, str) else "", details if isinstance(details, Mapping) else None
    kind = _BY_STATUS.get(status, ServerFailed if status >= 500 else ClusterError)
    if status == 409 and reason == "AlreadyExists":
        kind = AlreadyExists
    if status == 403 and "exceeded quota" in message:
        kind = QuotaExceeded
    return kind(message, action=action, status=status, reason=reason, details=details, retry_after=retry_after)


class StorageFailed(BigDataError):
    """An object storage can't be reached, or fails.

    :param message: what is wrong.
    :param action: what was being done, such as "read s3://logs/sales/load-1-driver".
    """

    what = "object storage"

    def __init__(self, message: str, *, action: str) -> None:
        super().__init__(f"{self.what}, {action}: {message}")


class ArchiveFailed(StorageFailed):
    """An archive of logs can't be written or read."""

    what = "log archive"


class RunFailed(BigDataError):
    """The job itself failed. What is known is there for callbacks, beside the message.

    :param message: who failed, why, and the last lines of the driver's log.
    :param category: a stable word for what happened, see `objects.categories`; "" if there is none.
    :param exit_code: the driver container's exit code; None if it was never seen.
    :param fault: who has to act: "author", "cluster" or "job"; "" if nobody can tell.
    :param summary: what happened, in one line.
    :param advice: what the DAG's author can do; "" if nothing is known.
    :param driver: the driver pod's name; "" before there was one.
    :param application_id: Spark's id of the application; "" before there was one.
    :param log_tail: the driver's last log lines.
    """

    def __init__(
        self,
        message: str,
        *,
        category: str = "",
        exit_code: int | None = None,
        fault: str = "",
        summary: str = "",
        advice: str = "",
        driver: str = "",
        application_id: str = "",
        log_tail: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.category = category
        self.exit_code = exit_code
        self.fault = fault
        self.summary = summary
        self.advice = advice
        self.driver = driver
        self.application_id = application_id
        self.log_tail = tuple(log_tail)

    def facts(self) -> dict[str, Any]:
        """All that it knows beside its message, by the names of its parameters."""
        return {name: getattr(self, name) for name in _FACTS}


_FACTS = ("category", "exit_code", "fault", "summary", "advice", "driver", "application_id", "log_tail")
