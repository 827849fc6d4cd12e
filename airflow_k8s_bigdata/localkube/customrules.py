"""Validation rules in CEL (`x-kubernetes-validations`), evaluated by the CEL project's own library.

Rules see a value as `self` and, on updates, its stored state as `oldSelf`. The library is imported with the first rule.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_k8s_bigdata.localkube.customformats import fits_format
from airflow_k8s_bigdata.localkube.customschemas import MISSING, Node, regex
from airflow_k8s_bigdata.localkube.customvalues import correlated, same
from airflow_k8s_bigdata.localkube.quantities import parse_quantity
from airflow_k8s_bigdata.localkube.statuses import Cause
from airflow_k8s_bigdata.localkube.store import Object

UNCHECKED = Cause(
    "FieldValueInvalid",
    "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing"
    " errors to complete validation",
    "<nil>",
)
"""What stands for all rules when the object is not even of the right shape."""

_BLOCKING = {
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
}
_REASONS = {
    "FieldValueForbidden": "Forbidden",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
}
_LONGEST_MESSAGE = 5120
_KEYWORDS = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"}
    | {"let", "loop", "package", "namespace", "return", "var", "void", "while"}
)


def blocks(causes: list[Cause]) -> bool:
    """Whether faults of shape keep the rules from being looked at."""
    return any(each.reason in _BLOCKING for each in causes)


@dataclass(slots=True)
class _Outcome:
    causes: list[Cause] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def rule_causes(node: Node, value: Any, old: Any = MISSING) -> tuple[list[Cause], list[str]]:
    """What the rules of a schema say against a value, and warnings for what was so before and stays so.

    :param old: the stored value; without one, rules on `oldSelf` are left out unless they take it as optional.
    """
    out = _Outcome()
    if node.has_rules:
        _walk(node, value, "", out, old, unchanged=False)
    return out.causes, out.warnings


def _walk(node: Node, value: Any, path: str, out: _Outcome, old: Any, *, unchanged: bool) -> None:
    if value is None:
        return
    unchanged = unchanged or (old is not MISSING and same(value, old))
    for rule in node.rules:
        _judge(node, rule, value, path, out, old, unchanged=unchanged)
    for each in node.all_of:
        if each.has_rules:
            _walk(each, value, path, out, old, unchanged=unchanged)
    if isinstance(value, dict):
        former = old if isinstance(old, dict) and not node.atomic_map else {}
        for key, each in value.items():
            below = node.properties.get(key)
            where = f"{path}.{key}" if path else key
            if below is None:
                below, where = node.additional, f"{path}[{key}]"
            if below is not None and below.has_rules:
                _walk(below, each, where, out, former.get(key, MISSING), unchanged=unchanged)
    elif isinstance(value, list) and node.items is not None and node.items.has_rules:
        before = correlated(node, value, old)
        for at, each in enumerate(value):
            _walk(node.items, each, f"{path}[{at}]", out, before(each), unchanged=unchanged)


def _judge(node: Node, rule: Object, value: Any, path: str, out: _Outcome, old: Any, *, unchanged: bool) -> None:
    optional = bool(rule.get("optionalOldSelf"))
    if is_unknown_here(rule["rule"], optional=optional):
        return
    transition = uses_old(rule["rule"])
    if transition and old is MISSING and not optional:
        return
    known: Object = {"self": seen(node, value), "had": old is not MISSING}
    known["oldSelf"] = None if old is MISSING else seen(node, old)
    try:
        holds = evaluated(rule["rule"], known, optional=optional)
    except ValueError as error:
        text = (rule.get("message") or rule["rule"]).strip()
        out.causes.append(
            Cause("FieldValueInvalid", f"Invalid value: {error} evaluating rule: {text}", path or "<nil>")
        )
        return
    if holds is True:
        return
    cause = _cause(rule, _message(rule, known, optional=optional), path)
    if unchanged and not transition:
        out.warnings.append(f"{cause.field}: {cause.message}")
    else:
        out.causes.append(cause)


def _cause(rule: Object, message: str, path: str) -> Cause:
    where = path + (rule.get("fieldPath") or "")
    reason = rule.get("reason") or "FieldValueInvalid"
    if reason == "FieldValueDuplicate":
        return Cause(reason, "Duplicate value", where or "<nil>")
    return Cause(reason, f"{_REASONS.get(reason, 'Invalid value')}: {message}", where.removeprefix(".") or "<nil>")


def _message(rule: Object, known: Object, *, optional: bool) -> str:
    if rule.get("messageExpression"):
        try:
            found = evaluated(rule["messageExpression"], known, optional=optional)
        except ValueError:
            found = None
        if isinstance(found, str) and found.strip() and "\n" not in found.strip() and len(found) <= _LONGEST_MESSAGE:
            return found.strip()
    return (rule.get("message") or f"failed rule: {rule['rule'].strip()}").strip()


@functools.cache
def uses_old(rule: str) -> bool:
    """Whether a rule compares with the stored state."""
    without_texts = re.sub(r"'(\\.|[^'\\])*'|\"(\\.|[^\"\\])*\"", "''", rule)
    return re.search(r"\boldSelf\b", without_texts) is not None


def seen(node: Node, value: Any) -> Any:
    """A value as rules see it: property names that are no identifiers of CEL are escaped."""
    if isinstance(value, dict):
        found = {}
        for key, each in value.items():
            below = node.properties.get(key)
            if below is not None:
                found[escaped(key)] = seen(below, each)
            else:
                found[key] = each if node.additional is None else seen(node.additional, each)
        return found
    if isinstance(value, list) and node.items is not None:
        return [seen(node.items, each) for each in value]
    return value


@functools.cache
def escaped(name: str) -> str:
    """A property's name in rules: `__dash__` for a hyphen, `__namespace__` for a keyword, and so on."""
    if name in _KEYWORDS:
        return f"__{name}__"
    for plain, instead in (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")):
        name = name.replace(plain, instead)
    return name


# The library

_LACKING = re.compile(r"\b(?:ip|cidr|url|semver|isSemver|indexOf|lastIndexOf)\(|\bformat\.|\bauthorizer\b")
_TWO_VARIABLES = re.compile(r"\.(?:all|exists|existsOne|exists_one|transformList|transformMap)\(\s*\w+\s*,\s*\w+\s*,")


def is_unknown_here(rule: str, *, optional: bool = False) -> bool:
    """Whether a rule cannot be compiled and uses what Kubernetes has and localkube has not: it is not looked at."""
    if not (_LACKING.search(rule) or _TWO_VARIABLES.search(rule)):
        return False
    try:
        program(rule, optional=optional)
    except ValueError:
        return True
    return False


def evaluated(rule: str, known: Object, *, optional: bool = False) -> Any:
    """What a rule makes of `self` and `oldSelf`. Raises ValueError when it cannot be evaluated.

    A rule that goes over more than 10,000 items, nested ones counted each time, is cut off by the library.
    """
    try:
        found = program(rule, optional=optional).eval(data=known)
        result = found.plain_value()
    except (RuntimeError, TypeError, OverflowError) as error:
        raise ValueError(_fault(str(error))) from None
    if found.type().name() == "ERROR":
        raise ValueError(_fault(str(result)))
    return result


@functools.lru_cache(4096)
def program(rule: str, *, optional: bool = False) -> Any:
    """A rule, compiled. Raises ValueError for what is no CEL, with the library's words."""
    if optional:
        # A value of the optional type cannot be given from outside; it is made inside, on the rule's own first line.
        old = "had ? optional.of(oldSelf) : optional.none()"
        rule = f"cel.bind(oldSelf, {old}, ({rule}))"
    try:
        return _environment().compile(rule)
    except RuntimeError as error:
        raise ValueError(str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")) from None


def _fault(text: str) -> str:
    """An evaluation's error in the words of the API server's library."""
    text = re.sub(r"^[A-Z_]+: ", "", text)
    if text.startswith("Iteration budget"):
        return "operation cancelled: actual cost limit exceeded"
    key = re.match(r'Key not found in map : "(.*)"', text)
    if key:
        return f"no such key: {key[1]}"
    return "no such overload" if text.startswith("No matching overloads") else text


@functools.cache
def _environment() -> Any:
    from cel_expr_python import cel  # type: ignore[import-untyped]
    from cel_expr_python.ext import (  # type: ignore[import-untyped]
        ext_bindings,
        ext_math,
        ext_optional,
        ext_strings,
    )

    types = cel.Type
    dyn, text, truth, number = types.DYN, types.STRING, types.BOOL, types.INT
    items, amount = types.List(dyn), types.Map(text, dyn)
    kinds = {"d": dyn, "s": text, "b": truth, "i": number, "l": items, "q": amount, "f": types.DOUBLE}

    def function(name: str, form: str, act: Callable[..., Any], member: bool) -> Any:
        parameters, result = form.split(">")
        overload = cel.Overload(
            id=f"{name.replace('.', '_')}_{form.replace('>', '_')}",
            return_type=kinds[result],
            parameters=[kinds[each] for each in parameters],
            is_member=member,
            impl=act,
        )
        return name, overload

    overloads: dict[str, list[Any]] = {}
    for name, form, act, member in _FUNCTIONS:
        overloads.setdefault(name, []).append(function(name, form, act, member)[1])
    return cel.NewEnv(
        variables={"self": dyn, "oldSelf": dyn, "had": truth},
        extensions=[
            ext_optional.ExtOptional(),
            ext_strings.ExtStrings(),
            ext_math.ExtMath(),
            ext_bindings.ExtBindings(),
        ],
        functions=[cel.FunctionDecl(name, each) for name, each in overloads.items()],
    )


def _sorted(items: list[Any]) -> bool:
    return all(one <= other for one, other in itertools.pairwise(items))


def _matched(pattern: str, text: str) -> Any:
    return regex(pattern)(text)


def _find(text: str, pattern: str) -> str:
    found = _matched(pattern, text)
    return str(found[0]) if found else ""


def _find_all(text: str, pattern: str, most: int = -1) -> list[str]:
    found: list[str] = []
    while (match := _matched(pattern, text)) and (most < 0 or len(found) < most):
        found.append(str(match[0]))
        if not text[match.start() :]:
            break
        text = text[max(match.end(), match.start() + 1) :]
    return found


def _is_quantity(text: str) -> bool:
    try:
        parse_quantity(text)
    except ValueError:
        return False
    return True


def _quantity(text: str) -> Object:
    parse_quantity(text)
    return {"quantity": text}


def _amount(quantity: Object) -> Any:
    return parse_quantity(quantity["quantity"])


def _compared(one: Object, other: Object) -> int:
    return int(_amount(one) > _amount(other)) - int(_amount(one) < _amount(other))


def _total(one: Object, other: Object | int, sign: int = 1) -> Object:
    more = _amount(other) if isinstance(other, dict) else other
    return {"quantity": f"{_amount(one) + sign * more:f}"}


_FUNCTIONS: tuple[tuple[str, str, Callable[..., Any], bool], ...] = (
    ("isSorted", "l>b", _sorted, True),
    ("sum", "l>d", sum, True),
    ("min", "l>d", min, True),
    ("max", "l>d", max, True),
    ("find", "ss>s", _find, True),
    ("findAll", "ss>l", _find_all, True),
    ("findAll", "ssi>l", _find_all, True),
    ("isIP", "s>b", lambda text: fits_format("ipv4", text) or fits_format("ipv6", text), False),
    ("isCIDR", "s>b", lambda text: fits_format("cidr", text), False),
    ("isURL", "s>b", lambda text: fits_format("uri", text), False),
    ("isQuantity", "s>b", _is_quantity, False),
    ("quantity", "s>q", _quantity, False),
    ("isGreaterThan", "qq>b", lambda one, other: _compared(one, other) > 0, True),
    ("isLessThan", "qq>b", lambda one, other: _compared(one, other) < 0, True),
    ("compareTo", "qq>i", _compared, True),
    ("sign", "q>i", lambda one: _compared(one, {"quantity": "0"}), True),
    ("isInteger", "q>b", lambda one: _amount(one) == int(_amount(one)), True),
    ("asInteger", "q>i", lambda one: int(_amount(one)), True),
    ("asApproximateFloat", "q>f", lambda one: float(_amount(one)), True),
    ("add", "qq>q", _total, True),
    ("add", "qi>q", _total, True),
    ("sub", "qq>q", lambda one, other: _total(one, other, -1), True),
    ("sub", "qi>q", lambda one, other: _total(one, other, -1), True),
    ("sets.contains", "ll>b", lambda one, other: all(each in one for each in other), False),
    ("sets.intersects", "ll>b", lambda one, other: any(each in one for each in other), False),
    (
        "sets.equivalent",
        "ll>b",
        lambda one, other: all(each in one for each in other) and all(each in other for each in one),
        False,
    ),
)
