"""What a failure means to Airflow: whether the task is tried again, and how soon.

`objects.categories` says for each category whether the same run may succeed when it is simply started again. What may
not fails the task for good; the rest is an ordinary failure, of which Airflow's `retries` are left, and from Airflow
3.3 on a retry policy that starts with short pauses when it was the cluster's fault.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_k8s_bigdata import compat, errors
from airflow_k8s_bigdata.objects import durations
from airflow_k8s_bigdata.objects.categories import CATEGORIES, Fault

if TYPE_CHECKING:
    from airflow.sdk import Context


class FailedForGood(compat.AirflowFailException, errors.RunFailed):
    """A failure that a retry would only repeat; also of a task whose words or requests were refused.

    The parameters are those of `RunFailed`.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        errors.RunFailed.__init__(self, message, **facts)


def checked(retry_on: Collection[str] | None) -> frozenset[str] | None:
    """The categories to retry, for good. Raises SpecError for a word that is neither a category nor a fault."""
    if retry_on is None:
        return None
    known = [*Fault, *CATEGORIES]
    words = [retry_on] if isinstance(retry_on, str) else retry_on
    if unknown := [word for word in words if word not in known]:
        raise errors.SpecError("retry_on", f"must hold categories or {', '.join(Fault)}", unknown[0])
    return frozenset(str(word) for word in words)


def is_retried(category: str, retry_on: Collection[str] | None = None) -> bool:
    """Whether a failure of that category is worth another try; one that the table does not have is.

    :param retry_on: the categories, and faults for all of theirs, that are; None: what the table says.
    """
    row = CATEGORIES.get(category)
    if row is None:
        return True
    return row.retryable if retry_on is None else row.word in retry_on or str(row.fault) in retry_on


def may_be_retried(error: BaseException, retry_on: Collection[str] | None) -> bool:
    """Whether a task that fails so has another try, if it has any left."""
    for_good = isinstance(error, errors.SpecError | compat.AirflowFailException)
    return not for_good and is_retried(category_of(error), retry_on)


def category_of(error: BaseException) -> str:
    """The category of an error of this package; "" for any other."""
    if isinstance(error, errors.ClusterError):
        from airflow_k8s_bigdata.objects.refusals import refused

        return refused(error).category
    return str(getattr(error, "category", ""))


def failure(
    error: errors.BigDataError, *, retry_on: Collection[str] | None, for_good: bool = True, secrets: Iterable[str] = ()
) -> Exception:
    """What the task raises for an error of this package: said for people, without secrets.

    :param for_good: whether what the table does not retry ends the task; else a retry policy of the author's decides.
    :param secrets: values that must not be shown, see `redaction.redact`.
    """
    hidden = frozenset(secrets)
    text, facts = _told(error, hidden)
    if isinstance(error, errors.SpecError) or (for_good and not is_retried(facts["category"], retry_on)):
        return FailedForGood(text, **facts)
    error.args = (text,)
    if isinstance(error, errors.RunFailed):
        vars(error).update(facts)
    return error


def _told(error: errors.BigDataError, secrets: frozenset[str]) -> tuple[str, dict[str, Any]]:
    """The message for people, and what a `RunFailed` of that error knows, both without secrets."""
    from airflow_k8s_bigdata.objects import redaction
    from airflow_k8s_bigdata.objects.diagnosis import summary_lines
    from airflow_k8s_bigdata.objects.refusals import refused

    if isinstance(error, errors.ClusterError):
        found = refused(error, secrets=secrets)
        told = {"category": found.category, "fault": str(found.fault), "summary": found.summary}
        return "\n".join(summary_lines(found)), {**told, "advice": found.advice}
    text = redaction.redact(str(error), secrets)
    if not isinstance(error, errors.RunFailed):
        fault = str(Fault.AUTHOR) if isinstance(error, errors.SpecError) else ""
        return text, {"category": category_of(error), "fault": fault, "summary": text}
    facts = error.facts()
    facts["summary"] = redaction.redact(error.summary or text.partition("\n")[0], secrets)
    facts["log_tail"] = tuple(redaction.redact(line, secrets) for line in error.log_tail)
    if (row := CATEGORIES.get(error.category)) is not None:
        facts |= {"fault": error.fault or str(row.fault), "advice": error.advice or row.advice}
    return text, facts


class PlainErrors:
    """Let errors made for people reach the task's log without the frames of this package above them.

    A class, as `contextlib.contextmanager` gives an error that passes through it its old traceback back.

    :param failure: what is raised in an error's place.
    """

    def __init__(self, failure: Callable[[errors.BigDataError], Exception]) -> None:
        self._failure = failure

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, errors.BigDataError):
            raise self._failure(error).with_traceback(None) from None


@dataclass(frozen=True)
class BigDataRetryPolicy(compat.RetryPolicy):
    """Retries by category, for any task that runs one of this package's operators; Airflow 3.3 or later.

    The operators use it with its defaults when a task names no `retry_policy` of its own. It can only use up `retries`,
    never add any.

    :param retry_on: the categories, or `author`, `cluster`, `job` for all of theirs, that are retried; None: those that
        the table of categories calls retried.
    :param first_delay: the pause before the first retry of a fault of the cluster's; it doubles from try to try. A
        shorter `retry_delay` of the task wins. All else waits for the task's own `retry_delay`.
    :param longest_delay: the bound of that. Both are seconds or a timedelta.
    """

    retry_on: Collection[str] | None = None
    first_delay: timedelta = timedelta(seconds=30)
    longest_delay: timedelta = timedelta(minutes=10)

    def __post_init__(self) -> None:
        """Refuse, while the DAG is parsed, what is no category or no duration. Raises SpecError."""
        checked(self.retry_on)
        for name in ("first_delay", "longest_delay"):
            given = durations.of(getattr(self, name))
            object.__setattr__(self, name, durations.checked(given, f"retry_policy.{name}"))

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> compat.RetryDecision:
        """Airflow's question after each failed try; what this package did not raise is left to Airflow's own rules."""
        del max_tries
        row = CATEGORIES.get(category_of(exception))
        if row is None:
            return compat.RetryDecision.default()
        if not is_retried(row.word, self.retry_on):
            return compat.RetryDecision.fail(f"{row.word}: another try would fail in the same way")
        if row.fault is not Fault.CLUSTER:
            return compat.RetryDecision.retry(reason=row.word)
        return compat.RetryDecision.retry(self._delay(try_number, context), f"{row.word}: the cluster's fault")

    def _delay(self, try_number: int, context: Context | None) -> timedelta:
        own = getattr((context or {}).get("task"), "retry_delay", None)
        first = min(self.first_delay, own) if isinstance(own, timedelta) else self.first_delay
        delay: timedelta = first * 2 ** min(try_number - 1, 20)
        return min(delay, self.longest_delay)

    def serialize(self) -> dict[str, Any]:
        """What `deserialize` reads."""
        return {
            "retry_on": None if self.retry_on is None else sorted(self.retry_on),
            "first_delay": self.first_delay.total_seconds(),
            "longest_delay": self.longest_delay.total_seconds(),
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> BigDataRetryPolicy:
        """The inverse of `serialize`."""
        delays = {name: timedelta(seconds=data[name]) for name in ("first_delay", "longest_delay")}
        return cls(data["retry_on"], **delays)
