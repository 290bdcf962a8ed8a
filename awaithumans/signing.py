"""Proof that something came from here: keys, and what is signed with them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets as randomness
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, cast

from awaithumans.errors import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from awaithumans.types import ColorScheme

MIN_SECRET_BYTES = 32
MAX_LINK_LENGTH = 2_048

_UNKEYED_ID = "0"
_KEY_ID_BYTES = 4
_NONCE_BYTES = 16
_GCM_NONCE_BYTES = 12
_MAC_BYTES = 32
_VERSION = b"\x01"
_WEBHOOK_SALT = b"awaithumans-webhook-v1"
_STANDARD_PREFIX = "whsec_"
_STANDARD_BYTES = range(24, 65)
_HOW_TO_MAKE = """Make one with: python -c "import secrets; print(secrets.token_urlsafe(32))\""""
_MAKE_WEBHOOK_KEY = (
    """Make one with: python -c "import base64, secrets; print(base64.b64encode(secrets.token_bytes(32)).decode())\""""
)

# ── The engine's own secret ───────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a capability link grants: one task, one address, one attempt."""

    task_id: str
    address: str
    attempt: int
    via: str
    """The channel that brought it, or `web`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embed:
    """What the address of an embedded page grants: one task, one address, inside one origin's pages."""

    task_id: str
    address: str
    origin: str
    expires_at: int
    """Seconds since 1970."""
    stated_by: str | None
    """The principal that said who it is for; None for the host's own code."""
    loaded: bool = False
    """Whether it stands in a page that was loaded: its time is then the form's, and gets no longer."""
    color_scheme: ColorScheme | None = None


class KeyRing:
    """The secrets of one engine, the current one first.

    Everything is signed with the first secret; what was signed with any of
    them is accepted, so a new secret is put in front and the old one removed
    when nothing signed with it matters any more. Each secret has at least
    `MIN_SECRET_BYTES` bytes (text counts as UTF-8), else `ConfigurationError`
    is raised. The secrets themselves are not kept, and `repr` shows key ids.
    """

    def __init__(self, secrets: str | bytes | Sequence[str | bytes]) -> None:
        several = (secrets,) if isinstance(secrets, str | bytes) else tuple(secrets)
        if not several:
            raise ConfigurationError("a key ring needs at least one secret", hint=_HOW_TO_MAKE)
        self._roots: tuple[bytes, ...] = tuple(map(_root, several))
        self._keys: dict[str, Mapping[str, bytes]] = {}

    @classmethod
    def unkeyed(cls) -> KeyRing:
        """Make a ring without secrets: it fingerprints, and cannot sign."""
        ring = cls.__new__(cls)
        ring._roots, ring._keys = (), {}  # noqa: SLF001 - its own class
        return ring

    @property
    def keyed(self) -> bool:
        """Tell whether the ring can sign."""
        return bool(self._roots)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Give a short name for each secret, the current one's first.

        The name follows from the secret and does not give it away.
        """
        return tuple(map(_key_id, self._roots))

    def keys(self, purpose: str) -> Mapping[str, bytes]:
        """Derive a 32-byte key per secret, by key id, the current one first.

        Keys for different purposes tell nothing about each other.
        """
        if purpose not in self._keys:
            self._keys[purpose] = {_key_id(root): _derived(root, purpose) for root in self._roots}
        return self._keys[purpose]

    def __repr__(self) -> str:
        return f"KeyRing(key_ids={list(self.key_ids)})"

    def shares_secret_with(self, key: object) -> bool:
        """Tell whether a `WebhookKey` was made of one of these secrets.

        However its base64 is written. Anything else shares none.
        """
        return isinstance(key, WebhookKey) and not key.as_secrets.isdisjoint(self._roots)

    def fingerprint(self, content: object) -> str:
        """Digest JSON content under the current key: `<key id>:<hex>`.

        Equal content gives an equal fingerprint, whatever the order of keys.
        Without a secret it is a plain digest, with the key id `0`.
        """
        for key_id, key in self.keys("fingerprint").items():
            return f"{key_id}:{_mac(key, _canonical(content)).hex()}"
        return f"{_UNKEYED_ID}:{_digest(content)}"

    def made(self, fingerprint: str) -> bool:
        """Tell whether a secret of this ring, or none at all, made it."""
        key_id, _, _ = fingerprint.partition(":")
        return key_id == _UNKEYED_ID or key_id in self.key_ids

    def fingerprint_matches(self, fingerprint: str, content: object) -> bool:
        """Tell whether `fingerprint` was made of equal content.

        By any secret of this ring, or by an engine without one.
        """
        key_id, _, hexdigest = fingerprint.partition(":")
        if key_id == _UNKEYED_ID:
            return _equal(hexdigest, _digest(content))
        key = self.keys("fingerprint").get(key_id)
        return key is not None and _equal(hexdigest, _mac(key, _canonical(content)).hex())

    def link_token(self, task_id: str, address: str, attempt: int, via: str = "web") -> str:
        """Make the token of a capability link; letter case of the address does not count.

        Equal arguments give an equal token. The address can be read from it.
        Raises `ConfigurationError` on a ring without secrets.
        """
        token = self._seal("link", _compact([task_id, address.lower(), attempt, via]))
        if len(token) > MAX_LINK_LENGTH:
            raise InvalidInputError("task id and address are too long for a link")
        return token

    def read_link(self, token: str) -> Link | None:
        """Return what the token grants; None if it was not made by this ring.

        Never raises, whatever the text. That the task still waits for this
        attempt and this address is for the caller to check.
        """
        body = self._open("link", token) if len(token) <= MAX_LINK_LENGTH else None
        if body is None:
            return None
        task_id, address, attempt, via = cast("tuple[str, str, int, str]", json.loads(body))
        return Link(task_id=task_id, address=address, attempt=attempt, via=via)

    def embed_token(self, embed: Embed) -> str:
        """Make the token of an embedded page; letter case of the address does not count.

        Raises `ConfigurationError` on a ring without secrets.
        """
        token = self._seal("embed", _compact(asdict(embed) | {"address": embed.address.lower()}))
        if len(token) > MAX_LINK_LENGTH:
            raise InvalidInputError("task id, address and origin are too long for an address")
        return token

    def read_embed(self, token: str) -> Embed | None:
        """Return what the token grants; None if it was not made by this ring.

        Never raises, whatever the text. Its time, the task and the person are
        for the caller to check.
        """
        body = self._open("embed", token) if len(token) <= MAX_LINK_LENGTH else None
        if body is None:
            return None
        return Embed(**json.loads(body))

    def form_token(self, person_id: str, mount: str) -> str:
        """Make the hidden token of a form, for one person and mount point.

        Every call gives another one. It has no expiry of its own: it ends with
        the secret, and is worth nothing without the person's log-in.
        Raises `ConfigurationError` on a ring without secrets.
        """
        return self._seal("form", randomness.token_bytes(_NONCE_BYTES), _canonical([person_id, mount]))

    def form_token_valid(self, token: str, person_id: str, mount: str) -> bool:
        """Tell whether this ring made `token` for this person and mount point.

        Never raises, whatever the text.
        """
        return len(token) <= MAX_LINK_LENGTH and self._open("form", token, _canonical([person_id, mount])) is not None

    def encrypt(self, purpose: str, text: str, bound: str = "") -> str:
        """Encrypt text under the current secret, with AES-256-GCM.

        Only this ring can read it, for this purpose and with an equal `bound`,
        which is not carried along. Every call gives another URL-safe text.
        Raises `ConfigurationError` on a ring without secrets.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        for key_id, key in self.keys(f"encryption/{purpose}").items():
            head = _VERSION + bytes.fromhex(key_id)
            nonce = randomness.token_bytes(_GCM_NONCE_BYTES)
            sealed = AESGCM(key).encrypt(nonce, text.encode(), _sealed(head, b"", bound.encode()))
            return _to_base64url(head + nonce + sealed)
        raise ConfigurationError("encrypting needs a secret, and this engine has none", hint=f"Set it. {_HOW_TO_MAKE}")

    def decrypt(self, purpose: str, text: str, bound: str = "") -> str | None:
        """Return what `encrypt` was given; None if this ring did not write `text` for that.

        Never raises, whatever the text.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        parts = self._parts(f"encryption/{purpose}", text, _GCM_NONCE_BYTES)
        if parts is None:
            return None
        key, head, nonce, sealed = parts
        try:
            return AESGCM(key).decrypt(nonce, sealed, _sealed(head, b"", bound.encode(errors="surrogatepass"))).decode()
        except InvalidTag:
            return None

    def _seal(self, purpose: str, body: bytes, bound: bytes = b"") -> str:
        """Sign `body` and, without carrying it along, `bound`."""
        for key_id, key in self.keys(purpose).items():
            head = _VERSION + bytes.fromhex(key_id)
            return _to_base64url(head + _mac(key, _sealed(head, body, bound)) + body)
        raise ConfigurationError("signing needs a secret, and this engine has none", hint=f"Set it. {_HOW_TO_MAKE}")

    def _open(self, purpose: str, token: str, bound: bytes = b"") -> bytes | None:
        parts = self._parts(purpose, token, _MAC_BYTES)
        if parts is None:
            return None
        key, head, mac, body = parts
        return body if hmac.compare_digest(mac, _mac(key, _sealed(head, body, bound))) else None

    def _parts(self, purpose: str, text: str, length: int) -> tuple[bytes, bytes, bytes, bytes] | None:
        """Take a text of this ring's apart: its key, its head, so many bytes behind that, and the rest."""
        raw = _from_base64url(text)
        if raw is None or not raw.startswith(_VERSION):
            return None
        head, rest = _cut(raw, len(_VERSION) + _KEY_ID_BYTES)
        key = self.keys(purpose).get(head[len(_VERSION) :].hex())
        return (key, head, *_cut(rest, length)) if key and len(rest) >= length else None


def _root(secret: str | bytes) -> bytes:
    raw = secret.encode(errors="surrogatepass") if isinstance(secret, str) else secret
    if len(raw) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"a secret has {len(raw)} bytes and needs at least {MIN_SECRET_BYTES}", hint=_HOW_TO_MAKE
        )
    return _mac(b"awaithumans/v1", raw)


def _key_id(root: bytes) -> str:
    return _derived(root, "key-id")[:_KEY_ID_BYTES].hex()


def _derived(root: bytes, purpose: str) -> bytes:
    return _expand(root, f"awaithumans/v1/{purpose}".encode())


def _sealed(head: bytes, body: bytes, bound: bytes) -> bytes:
    """Put together what is signed; a part of fixed length stands first."""
    return head + hashlib.sha256(bound).digest() + body


def _cut(raw: bytes, length: int) -> tuple[bytes, bytes]:
    return raw[:length], raw[length:]


# ── Webhooks ──────────────────────────────────────────────────────────────────


class WebhookKey:
    """What webhooks are signed with.

    `X-Awaithumans-Signature` is checked with the key itself, so sender and
    receivers hold it. Of the Standard Webhooks headers each endpoint has a
    secret of its own, derived from the key: a receiver that holds only this
    can forge nothing for another.

    Arguments:
        roots: the base64 text of 32 bytes, in the standard or the URL-safe
            alphabet, with or without padding; or several of them.

    Raises `ConfigurationError` for anything else.

    Given several, the first signs `X-Awaithumans-Signature`, secrets derived
    from all of them sign `webhook-signature`, and all of them are accepted: to
    rotate, receivers get the new root beside the old one, then the sender puts
    it first.
    """

    def __init__(self, roots: str | Sequence[str]) -> None:
        several = (roots,) if isinstance(roots, str) else tuple(roots)
        if not several:
            raise ConfigurationError("a webhook key needs at least one root", hint=_MAKE_WEBHOOK_KEY)
        decoded = tuple(map(_decoded, several))
        self._extracted = tuple(_mac(_WEBHOOK_SALT, raw) for raw in decoded)
        self._keys = tuple(_expand(extracted, b"v1") for extracted in self._extracted)
        self.as_secrets = frozenset(_root(form) for raw in decoded for form in _written_forms(raw))
        """What a `KeyRing` would make of the roots, to find that it has them."""

    def __repr__(self) -> str:
        return f"WebhookKey(<{len(self._keys)} hidden>)"

    def standard_secrets(self, endpoint: str) -> tuple[str, ...]:
        """Derive an endpoint's Standard Webhooks secrets, the current one first.

        There is one per root: `whsec_` and the base64 of HKDF-SHA256 of the
        root, with the salt `awaithumans-webhook-v1` and the info
        `standard-webhooks/v1/` and `endpoint`. It tells nothing about the
        root, or about another endpoint's.
        """
        info = f"standard-webhooks/v1/{endpoint}".encode()
        return tuple(_standard_secret(_expand(extracted, info)) for extracted in self._extracted)

    def sign(self, body: bytes) -> str:
        """Give the value of `X-Awaithumans-Signature`: `sha256=<hex>`."""
        return f"sha256={_mac(self._keys[0], body).hex()}"

    def verify(self, body: bytes, header: str | None) -> bool:
        """Tell whether `header` is a signature of exactly this body.

        With or without the prefix `sha256=`. Never raises, whatever the text.
        """
        signature = (header or "").removeprefix("sha256=")
        return any(_equal(signature, _mac(key, body).hex()) for key in self._keys)


def standard_headers(secrets: Iterable[str], *, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Give the three headers of Standard Webhooks, signed with each secret.

    Arguments:
        secrets: `whsec_` and base64 each, such as `WebhookKey.standard_secrets`.
        message_id: equal for every attempt.
        timestamp: the attempt's, in seconds since 1970; receivers refuse what
            is too old.
        body: what is sent, to the byte.

    Raises `ConfigurationError` for a secret that is none.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(_mac(_standard_key(secret), signed)).decode() for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def ensure_standard_secret(secret: str) -> None:
    """Raise `ConfigurationError` unless this is `whsec_` and the base64 of 24 to 64 bytes."""
    _standard_key(secret)


def sign_body(body: bytes, key: WebhookKey | str) -> str:
    """Sign a webhook's body as this library does: `sha256=<hex>`.

    For the tests of receivers. Raises `ConfigurationError` for a key that is
    none.
    """
    return _as_webhook_key(key).sign(body)


def verify_signature(*, body: bytes, signature: str | None, key: WebhookKey | str) -> bool:
    """Tell, in constant time, whether a webhook that was received is genuine.

    Arguments:
        body: the raw request body, before anything parses it.
        signature: the header `X-Awaithumans-Signature`; None if it is missing.
        key: the webhook key, or its base64 text.

    Never raises because of what was received; `ConfigurationError` for a key
    that is none.
    """
    return _as_webhook_key(key).verify(body, signature)


def _as_webhook_key(key: WebhookKey | str) -> WebhookKey:
    return WebhookKey(key) if isinstance(key, str) else key


def _decoded(root: str) -> bytes:
    try:
        text = root.rstrip("=").replace("-", "+").replace("_", "/")
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise ConfigurationError("a webhook key is not base64 text", hint=_MAKE_WEBHOOK_KEY) from None
    if len(raw) != MIN_SECRET_BYTES:
        raise ConfigurationError(f"a webhook key has {len(raw)} bytes instead of 32", hint=_MAKE_WEBHOOK_KEY)
    return raw


def _written_forms(raw: bytes) -> Iterator[bytes]:
    yield raw
    for text in (base64.b64encode(raw), base64.urlsafe_b64encode(raw)):
        yield from (text, text.rstrip(b"="))


def _standard_secret(key: bytes) -> str:
    return f"{_STANDARD_PREFIX}{base64.b64encode(key).decode()}"


def _standard_key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_STANDARD_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(_STANDARD_PREFIX) or len(key) not in _STANDARD_BYTES:
        raise ConfigurationError("a Standard Webhooks secret is whsec_ and the base64 of 24 to 64 bytes")
    return key


# ── Primitives ────────────────────────────────────────────────────────────────


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _expand(root: bytes, info: bytes) -> bytes:
    """Derive 32 bytes: HKDF-Expand of RFC 5869, which then is one block.

    HKDF-Extract is `_mac(salt, secret)`.
    """
    return _mac(root, info + b"\x01")


def _canonical(content: object) -> bytes:
    """Write JSON in one form only."""
    from awaithumans.documents import canonical  # here: who checks a webhook needs the standard library alone

    return canonical(content).encode()


def _compact(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _digest(content: object) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()


def _equal(ours: str, theirs: str) -> bool:
    """Compare in constant time; text outside ASCII is just different."""
    return hmac.compare_digest(ours.encode(errors="surrogatepass"), theirs.encode())


def _to_base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _from_base64url(text: str) -> bytes | None:
    """Decode what `_to_base64url` gave, and nothing else."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        return None
    return raw if _to_base64url(raw) == text else None
