"""Encryption at rest: what a SQL store writes, unreadable without the secret.

Content is encrypted by AES-256-GCM (NIST SP 800-38D) under a random nonce, and
bound to its place, so that it cannot be moved to another row or column. Names
that have to be found again (keys, addresses) are written as HMAC-SHA256 under
an index key. That one is random, never changes, and is kept in the database,
encrypted itself, so that a new secret leaves findable what was findable.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from awaithumans.errors import EncryptionError
from awaithumans.signing import KeyRing
from awaithumans.stores.schema import address_of, digest_of

_MARK = "~1"
_NONCE_BYTES = 12
_INDEX_KEY_BYTES = 32
_INDEX_PLACE = ("keys", "index")


class Encryption:
    """The secrets under which a SQL store encrypts what it writes.

    `secret` is at least 32 bytes of text that only this host knows, or several:
    the first encrypts, all decrypt. Without it every task is lost, so keep it
    where your backups are not. Raises `ConfigurationError` if it is too short.
    """

    def __init__(self, secret: str | bytes | Sequence[str | bytes]) -> None:
        self._ring = KeyRing(secret)
        self._ciphers = {key_id: AESGCM(key) for key_id, key in self._ring.keys("encryption at rest").items()}

    def __repr__(self) -> str:
        return f"Encryption(key_ids={list(self._ring.key_ids)})"

    def encrypt(self, text: str, place: Sequence[str]) -> str:
        """Return `text` encrypted for one place: `~1.<key id>.<base64>`."""
        key_id = self._ring.key_ids[0]
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._ciphers[key_id].encrypt(nonce, text.encode(), _bound_to(place))
        return f"{_MARK}.{key_id}.{base64.b64encode(nonce + sealed).decode()}"

    def decrypt(self, text: str, place: Sequence[str]) -> str:
        """Return what was encrypted for this place. Raises `EncryptionError`."""
        if not is_encrypted(text):
            raise EncryptionError(
                place, "is not encrypted", hint="Run: python -m awaithumans reencrypt, or await store.reencrypt()"
            )
        key_id, _, sealed = text.removeprefix(f"{_MARK}.").partition(".")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            hint = (
                "Keep the old secret behind the new one: Encryption([new, old]); for python -m awaithumans, one a line."
            )
            raise EncryptionError(place, f"is encrypted under the key {key_id}, which is not known here", hint=hint)
        try:
            raw = base64.b64decode(sealed, validate=True)
            return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound_to(place)).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise EncryptionError(place, "was changed, or belongs elsewhere") from error

    def is_current(self, text: str) -> bool:
        """Tell whether `text` is encrypted under the first secret."""
        return text.startswith(f"{_MARK}.{self._ring.key_ids[0]}.")

    def new_index_key(self) -> str:
        """Make an index key, encrypted."""
        return self.encrypt(secrets.token_hex(_INDEX_KEY_BYTES), _INDEX_PLACE)

    def renewed(self, index_key: str) -> str:
        """Encrypt an index key anew, under the first secret."""
        return self.encrypt(self.decrypt(index_key, _INDEX_PLACE), _INDEX_PLACE)

    def opened(self, index_key: str) -> bytes:
        """Decrypt an index key."""
        return bytes.fromhex(self.decrypt(index_key, _INDEX_PLACE))


def is_encrypted(text: str) -> bool:
    """Tell whether this is something `Encryption` wrote; no JSON, name or digest begins like it."""
    return text.startswith(f"{_MARK}.")


def _bound_to(place: Sequence[str]) -> bytes:
    return "\0".join(place).encode()


class Codec:
    """How texts and names stand in the database: here, readable."""

    def seal(self, text: str, *place: str) -> str:
        """Return what to write for a text in this table, row and column."""
        del place
        return text

    def open(self, text: str, *place: str) -> str:
        """Return the text that was written there; the inverse of `seal`."""
        del place
        return text

    def digest(self, name: str) -> str:
        """Return what a name is found by that may be long: 64 characters at most."""
        return digest_of(name)

    def address(self, name: str) -> str:
        """Return what an address is found by: 255 characters at most."""
        return address_of(name)

    def effect_id(self, effect_id: str) -> str:
        """Return what an effect is found by; its id follows from its recipient."""
        return effect_id

    def searchable(self, name: str) -> str | None:
        """Return what parts of a name are found in; None if they are not to be found."""
        return name

    def tombstone(self, task_id: str) -> str | None:
        """Return what to write where the content of an erased task was."""
        del task_id
        return None


class EncryptingCodec(Codec):
    """A codec whose texts only the secret can read."""

    def __init__(self, encryption: Encryption, index_key: bytes) -> None:
        self._encryption = encryption
        self._index_key = index_key

    def seal(self, text: str, *place: str) -> str:
        return self._encryption.encrypt(text, place)

    def open(self, text: str, *place: str) -> str:
        return self._encryption.decrypt(text, place)

    def digest(self, name: str) -> str:
        return self.keyed(digest_of(name))

    def address(self, name: str) -> str:
        return self.digest(name)

    def effect_id(self, effect_id: str) -> str:
        return self.digest(effect_id)

    def searchable(self, name: str) -> str | None:
        del name
        return None

    def tombstone(self, task_id: str) -> str | None:
        return self.seal("", "tasks", task_id, "spec")

    def keyed(self, digest: str) -> str:
        """Return what stands for a name of which only the plain digest is left."""
        return hmac.new(self._index_key, digest.encode(), hashlib.sha256).hexdigest()


class ConvertingCodec(EncryptingCodec):
    """A codec that also reads what is not encrypted yet."""

    def open(self, text: str, *place: str) -> str:
        return super().open(text, *place) if is_encrypted(text) else text
