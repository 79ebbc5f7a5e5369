"""The keys that verify assertions, fetched from Handstamp and cached."""

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Protocol

import jwt

from handstamp.errors import InvalidAssertionError, KeysUnavailableError

# The keys are fetched anew after this many seconds: the `max-age` of the answer.
LIFETIME = 300
# An unknown key id leads to a fetch at most once in this many seconds, so that forged assertions do not cause fetches.
UNKNOWN_KEY_INTERVAL = 60
# After a failed fetch the next one waits for this many seconds.
RETRY_INTERVAL = 1
TIMEOUT = 5
MOST_BYTES = 1 << 20


class KeySource(Protocol):
    """Where a verifier finds keys."""

    def is_cached(self, key_id: str) -> bool:
        """Return whether `find` answers without I/O."""

    def find(self, key_id: str) -> Any:
        """Return the public key with this id."""


class RemoteKeys:
    """The keys at a URL."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is fetched before the first key is needed."""
        self.url = url
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, Any] = {}
        self._fetched_at = float("-inf")
        self._failed_at = float("-inf")
        self._unknown_at = float("-inf")
        self._failure = ""

    def is_cached(self, key_id: str) -> bool:
        return key_id in self._keys and self._age() < LIFETIME

    def find(self, key_id: str) -> Any:
        if not self.is_cached(key_id):
            with self._lock:
                # Another thread may have fetched it meanwhile.
                if not self.is_cached(key_id):
                    self._refresh(key_id)
        key = self._keys.get(key_id)
        if key is None:
            raise InvalidAssertionError("the assertion is signed by an unknown key")
        return key

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    def _refresh(self, key_id: str) -> None:
        now = self._clock()
        if self._age() < LIFETIME:
            # The keys are fresh, but have no such key: it is forged, or newer than they are.
            if now - self._unknown_at < UNKNOWN_KEY_INTERVAL:
                return
            self._unknown_at = now
        if now - self._failed_at >= RETRY_INTERVAL:
            try:
                self._keys = self._fetch()
                self._fetched_at = now
                return
            except (OSError, http.client.HTTPException, ValueError, jwt.PyJWTError) as error:
                # After the time-out, so that threads that waited do not fetch one after the other.
                self._failed_at = self._clock()
                self._failure = f"cannot get the keys of Handstamp from {self.url}: {error}"
        raise KeysUnavailableError(self._failure)

    def _fetch(self) -> dict[str, Any]:
        request = urllib.request.Request(self.url, headers={"Accept": "application/json"})  # noqa: S310 (settings check it)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
            described = json.loads(response.read(MOST_BYTES))
        keys = described.get("keys") if isinstance(described, dict) else None
        if not isinstance(keys, list):
            raise ValueError("the answer is not a JWK set")
        found = {key["kid"]: jwt.PyJWK(key, algorithm="EdDSA").key for key in keys if _is_ours(key)}
        if not found:
            raise ValueError("the answer has no key for Ed25519")
        return found


def _is_ours(key: object) -> bool:
    return isinstance(key, dict) and (key.get("kty"), key.get("crv")) == ("OKP", "Ed25519") and "kid" in key
