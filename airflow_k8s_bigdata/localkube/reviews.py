"""Questions about access and identity: they are answered, not stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from airflow_k8s_bigdata.localkube.rbac import Attributes, Authorizer
from airflow_k8s_bigdata.localkube.registry import Target
from airflow_k8s_bigdata.localkube.statuses import bad_request, bad_value, invalid, not_found
from airflow_k8s_bigdata.localkube.store import NotFound, Object, Store
from airflow_k8s_bigdata.localkube.tokens import ISSUER, Tokens, User

_SHORTEST_TOKEN = 600
_DEFAULT_TOKEN = 3600
_LONGEST_TOKEN = 1 << 32


class Reviews:
    """Answers the review kinds and token requests."""

    def __init__(self, store: Store, tokens: Tokens, authorizer: Authorizer, now: Callable[[], datetime]) -> None:
        self._store = store
        self._tokens = tokens
        self._authorizer = authorizer
        self._now = now

    def answer(self, target: Target, body: Object, user: User) -> Object:
        """The review with its status. Raises ApiError (400)."""
        resource = target.resource
        answers = {
            "SelfSubjectAccessReview": lambda spec: self._access(spec, user),
            "SubjectAccessReview": lambda spec: self._access(spec, _subject(spec)),
            "LocalSubjectAccessReview": lambda spec: self._access(spec, _subject(spec)),
            "SelfSubjectRulesReview": lambda spec: self._rules(spec, user),
            "SelfSubjectReview": lambda _: {"userInfo": user.as_object()},
            "TokenReview": self._token,
        }
        spec = body.get("spec") or {}
        answered: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": {}}
        if resource.kind != "SelfSubjectReview":
            answered["spec"] = spec
        return answered | {"status": answers[resource.kind](spec)}

    def _access(self, spec: Object, user: User) -> Object:
        wanted: Object = spec.get("resourceAttributes") or {}
        path: Object = spec.get("nonResourceAttributes") or {}
        if bool(wanted) == bool(path):
            raise bad_request("exactly one of nonResourceAttributes or resourceAttributes must be specified")
        if path:
            attributes = Attributes(path.get("verb", ""), path=path.get("path", ""))
        else:
            resource = wanted.get("resource", "")
            if wanted.get("subresource"):
                resource = f"{resource}/{wanted['subresource']}"
            attributes = Attributes(
                wanted.get("verb", ""),
                wanted.get("group", ""),
                resource,
                wanted.get("namespace", ""),
                wanted.get("name", ""),
            )
        return {"allowed": self._authorizer.allows(user, attributes)}

    def _rules(self, spec: Object, user: User) -> Object:
        if not spec.get("namespace"):
            raise bad_request("no namespace on request")
        rules = list(self._authorizer.rules(user, spec["namespace"]))
        return {
            "resourceRules": [rule for rule in rules if rule.get("resources")],
            "nonResourceRules": [rule for rule in rules if rule.get("nonResourceURLs")],
            "incomplete": False,
        }

    def _token(self, spec: Object) -> Object:
        user = self._tokens.user(spec.get("token") or "")
        if user is None:
            return {"user": {}, "error": "[invalid bearer token, unknown]"}
        return {"authenticated": True, "user": user.as_object(), "audiences": spec.get("audiences") or [ISSUER]}

    def token_request(self, target: Target, body: Object) -> Object:
        """POST serviceaccounts/<name>/token. Raises ApiError: 404, 422."""
        spec = body.get("spec") or {}
        seconds = spec.get("expirationSeconds") or _DEFAULT_TOKEN
        if seconds < _SHORTEST_TOKEN:
            cause = bad_value("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
            raise invalid("TokenRequest", target.name, [cause], "authentication.k8s.io")
        if seconds > _LONGEST_TOKEN:
            cause = bad_value("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
            raise invalid("TokenRequest", target.name, [cause], "authentication.k8s.io")
        try:
            account = self._store.get("serviceaccounts", target.namespace, target.name)
        except NotFound:
            raise not_found("serviceaccounts", target.name) from None
        reference = spec.get("boundObjectRef") or {}
        bound: Object = {}
        if reference.get("kind") == "Pod":
            pod = self._store.find("pods", target.namespace, reference.get("name", ""))
            if pod is None:
                raise not_found("pods", reference.get("name", ""))
            bound = {"pod": {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}}
        audiences = spec.get("audiences") or [ISSUER]
        token = self._tokens.sign(account, timedelta(seconds=seconds), audiences, bound)
        expires = (self._now() + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": target.name, "namespace": target.namespace},
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference or None},
            "status": {"token": token, "expirationTimestamp": expires},
        }


def _subject(spec: Object) -> User:
    return User(spec.get("user") or "", tuple(spec.get("groups") or ()))
