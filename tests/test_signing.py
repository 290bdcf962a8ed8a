"""Keys, links, form tokens, fingerprints and webhook signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from awaithumans.documents import digest
from awaithumans.errors import ConfigurationError, InvalidInputError
from awaithumans.signing import KeyRing, Link, WebhookKey, sign_body, standard_headers, verify_signature

OLD = "old secret, " + "o" * 32
NEW = "new secret, " + "n" * 32
ROOT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
OTHER_ROOT = "tlR5UCElY4QIjThpO4TlL1GzTzXrQQJYa3BtvZ0FOBQ"
ENDPOINT = "https://agent.example/callback"
BODY = b'{"task_id":"t1","status":"completed"}'

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class TestKeyRing:
    @pytest.mark.parametrize("secrets", ["short", "x" * 31, b"y" * 31, [NEW, "short"], []])
    def test_a_weak_or_missing_secret_is_refused_with_the_way_to_make_one(self, secrets: str) -> None:
        with pytest.raises(ConfigurationError, match=r"secrets\.token_urlsafe\(32\)"):
            KeyRing(secrets)

    def test_what_it_encrypts_only_it_reads_for_that_purpose_and_place(self) -> None:
        ring = KeyRing(NEW)
        sealed = ring.encrypt("token", "xoxb-ß", "T1")
        assert ring.decrypt("token", sealed, "T1") == "xoxb-ß"
        assert ring.decrypt("token", sealed, "T2") is None
        assert ring.decrypt("other", sealed, "T1") is None
        assert KeyRing(OLD).decrypt("token", sealed, "T1") is None
        assert sealed != ring.encrypt("token", "xoxb-ß", "T1")
        assert "xoxb" not in sealed

    def test_what_was_encrypted_outlives_the_rotation_of_the_secret(self) -> None:
        sealed = KeyRing(OLD).encrypt("token", "xoxb-1")
        assert KeyRing([NEW, OLD]).decrypt("token", sealed) == "xoxb-1"
        assert KeyRing(OLD).decrypt("token", KeyRing([NEW, OLD]).encrypt("token", "xoxb-1")) is None

    @given(st.text(max_size=80) | st.binary(max_size=80).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
    def test_what_it_did_not_encrypt_is_none_whatever_it_is(self, text: str) -> None:
        assert KeyRing(NEW).decrypt("token", text) is None
        assert KeyRing(NEW).decrypt("token", KeyRing(NEW).encrypt("token", "x"), text + "!") is None

    def test_a_changed_letter_shows(self) -> None:
        sealed = KeyRing(NEW).encrypt("token", "xoxb-1")
        for at in range(len(sealed)):
            changed = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]
            assert KeyRing(NEW).decrypt("token", changed) is None

    def test_without_a_secret_nothing_is_encrypted(self) -> None:
        with pytest.raises(ConfigurationError, match="needs a secret"):
            KeyRing.unkeyed().encrypt("token", "xoxb-1")

    def test_the_length_of_a_secret_is_counted_in_bytes(self) -> None:
        assert KeyRing("é" * 16).keyed

    def test_text_and_its_bytes_are_one_secret(self) -> None:
        assert KeyRing(NEW).key_ids == KeyRing(NEW.encode()).key_ids

    def test_neither_repr_nor_error_nor_attributes_show_a_secret(self) -> None:
        ring = KeyRing([NEW, OLD])
        with pytest.raises(ConfigurationError) as caught:
            KeyRing("hush hush")
        shown = f"{ring!r} {vars(ring)!r} {caught.value}"
        assert not any(secret in shown for secret in (NEW, OLD, "hush"))
        assert all(key_id in repr(ring) for key_id in ring.key_ids)

    def test_keys_are_derived_by_hkdf_and_differ_by_purpose_and_secret(self) -> None:
        ring = KeyRing([NEW, OLD])
        expected = HKDF(algorithm=SHA256(), length=32, salt=b"awaithumans/v1", info=b"awaithumans/v1/link")
        assert next(iter(ring.keys("link").values())) == expected.derive(NEW.encode())
        assert len({*ring.keys("link").values(), *ring.keys("form").values()}) == 4
        assert tuple(ring.keys("link")) == ring.key_ids

    @pytest.mark.parametrize("alphabet", ["-_", "+/"])
    @pytest.mark.parametrize("padding", ["", "="])
    def test_it_notices_a_webhook_key_made_of_its_own_secret(self, alphabet: str, padding: str) -> None:
        raw = bytes([255] * 32)
        root = base64.b64encode(raw, alphabet.encode()).decode().rstrip("=") + padding
        assert KeyRing([NEW, root]).shares_secret_with(WebhookKey([ROOT, root]))
        assert KeyRing(raw).shares_secret_with(WebhookKey(root))
        assert KeyRing(base64.urlsafe_b64encode(raw)).shares_secret_with(WebhookKey(root))

    def test_it_does_not_mistake_another_key_for_its_own(self) -> None:
        assert not KeyRing(NEW).shares_secret_with(WebhookKey(ROOT))
        assert not KeyRing(ROOT).shares_secret_with(None)
        assert not KeyRing.unkeyed().shares_secret_with(WebhookKey(ROOT))

    def test_importing_it_imports_no_cryptography(self) -> None:
        program = "import sys, awaithumans.signing; sys.exit('cryptography' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


class TestFingerprint:
    @given(json_values)
    def test_equal_content_matches_in_every_ring_that_knows_the_secret(self, content: object) -> None:
        fingerprint = KeyRing(OLD).fingerprint(content)
        assert KeyRing([NEW, OLD]).fingerprint_matches(fingerprint, json.loads(json.dumps(content)))
        assert not KeyRing(NEW).fingerprint_matches(fingerprint, content)
        assert not KeyRing(OLD).fingerprint_matches(fingerprint, [content])

    def test_it_names_the_key(self) -> None:
        ring = KeyRing([NEW, OLD])
        key_id, _, hexdigest = ring.fingerprint({"a": 1}).partition(":")
        assert key_id == ring.key_ids[0]
        assert len(hexdigest) == 64

    def test_without_a_secret_it_is_the_plain_digest(self) -> None:
        assert KeyRing.unkeyed().fingerprint({"a": 1}) == f"0:{digest({'a': 1})}"

    def test_a_secret_added_later_leaves_waiting_agents_their_tasks(self) -> None:
        fingerprint = KeyRing.unkeyed().fingerprint({"a": 1.0})
        assert KeyRing(NEW).fingerprint_matches(fingerprint, {"a": 1})
        assert not KeyRing(NEW).fingerprint_matches(fingerprint, {"a": 2})

    @pytest.mark.parametrize("text", ["", ":", "0", "0:", "0:é", "\ud800:\ud800", "x:y", "ffffffff:00"])
    def test_nonsense_does_not_match(self, text: str) -> None:
        assert not KeyRing(NEW).fingerprint_matches(text, {"a": 1})
        assert not KeyRing.unkeyed().fingerprint_matches(text, {"a": 1})


class TestLink:
    def test_it_grants_one_task_to_one_address_for_one_attempt(self) -> None:
        token = KeyRing(NEW).link_token("task-1", "Ana@Example.com", 2, "email")
        assert KeyRing(NEW).read_link(token) == Link(
            task_id="task-1", address="ana@example.com", attempt=2, via="email"
        )

    @given(st.text(max_size=50), st.text(max_size=50), st.integers(0, 1_000), st.text(max_size=20))
    def test_any_text_survives(self, task_id: str, address: str, attempt: int, via: str) -> None:
        ring = KeyRing(NEW)
        token = ring.link_token(task_id, address, attempt, via)
        assert ring.read_link(token) == Link(task_id=task_id, address=address.lower(), attempt=attempt, via=via)
        assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")

    def test_a_typical_one_fits_in_a_line_of_mail(self) -> None:
        token = KeyRing(NEW).link_token("0" * 32, "ana.longname@department.example.com", 1)
        assert len(token) < 160

    def test_after_rotation_old_links_still_open_and_new_ones_use_the_new_secret(self) -> None:
        token = KeyRing(OLD).link_token("t", "a", 0)
        both = KeyRing([NEW, OLD])
        assert both.read_link(token) is not None
        assert KeyRing(NEW).read_link(both.link_token("t", "a", 0)) is not None
        assert KeyRing(NEW).read_link(token) is None
        assert KeyRing.unkeyed().read_link(token) is None

    def test_changing_any_character_spoils_it(self) -> None:
        ring = KeyRing(NEW)
        token = ring.link_token("task-1", "ana@example.com", 0)
        for place, character in enumerate(token):
            changed = token[:place] + ("A" if character != "A" else "B") + token[place + 1 :]
            assert ring.read_link(changed) is None

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda token: token + "=",
            lambda token: token + "A",
            lambda token: token[:-1],
            lambda token: f" {token}",
            lambda token: token[:4] + "\n" + token[4:],
            lambda token: token[:4] + "é" + token[4:],
            lambda token: token + "\ud800",
            lambda token: token * 100,
        ],
    )
    def test_only_the_exact_text_is_accepted(self, spoil: Callable[[str], str]) -> None:
        ring = KeyRing(NEW)
        assert ring.read_link(spoil(ring.link_token("task-1", "ana@example.com", 0))) is None

    @given(st.text(max_size=3_000) | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
    def test_nonsense_is_none_and_never_an_exception(self, token: str) -> None:
        ring = KeyRing(NEW)
        assert ring.read_link(token) is None
        assert not ring.form_token_valid(token, "ana", "/humans")

    def test_a_form_token_is_no_link(self) -> None:
        ring = KeyRing(NEW)
        assert ring.read_link(ring.form_token("ana", "/humans")) is None
        assert not ring.form_token_valid(ring.link_token("t", "a", 0), "ana", "/humans")

    def test_a_ring_without_secrets_cannot_sign(self) -> None:
        with pytest.raises(ConfigurationError, match=r"token_urlsafe"):
            KeyRing.unkeyed().link_token("t", "a", 0)
        with pytest.raises(ConfigurationError, match=r"token_urlsafe"):
            KeyRing.unkeyed().form_token("ana", "/humans")

    def test_one_that_could_not_be_read_back_is_not_made(self) -> None:
        with pytest.raises(InvalidInputError):
            KeyRing(NEW).link_token("t", "a" * 2_000, 0)


class TestFormToken:
    def test_it_holds_for_one_person_at_one_mount_point(self) -> None:
        ring = KeyRing(NEW)
        token = ring.form_token("ana", "/humans")
        assert ring.form_token_valid(token, "ana", "/humans")
        assert not ring.form_token_valid(token, "ben", "/humans")
        assert not ring.form_token_valid(token, "ana", "/other")
        assert not ring.form_token_valid(token, "ana/humans", "")
        assert not KeyRing(OLD).form_token_valid(token, "ana", "/humans")

    def test_every_one_is_another_and_all_hold(self) -> None:
        ring = KeyRing(NEW)
        tokens = {ring.form_token("ana", "") for _ in range(10)}
        assert len(tokens) == 10
        assert all(KeyRing([OLD, NEW]).form_token_valid(token, "ana", "") for token in tokens)


class TestWebhookKey:
    @pytest.mark.parametrize(
        ("root", "body", "signature"),
        [
            (ROOT, BODY, "735f42a69713e47fc2230ca837d9061311237db6804de76bf1fb255763564e09"),
            (OTHER_ROOT, b'{"task":"x"}', "01f15718f6cea5face28432c8075dbde55961458f02a25681ab1531414df6828"),
        ],
    )
    def test_signatures_are_those_that_deployed_receivers_expect(self, root: str, body: bytes, signature: str) -> None:
        assert WebhookKey(root).sign(body) == f"sha256={signature}"
        assert WebhookKey(root).verify(body, f"sha256={signature}")
        assert WebhookKey(root).verify(body, signature)

    def test_the_key_is_derived_as_the_format_says(self) -> None:
        derived = "fec0c9cec3dbf3e6764848739ab646cabd1230ee9a9c87cf4d9626ff827fb9b4"
        assert (
            WebhookKey(ROOT).sign(BODY)
            == f"sha256={hmac.new(bytes.fromhex(derived), BODY, hashlib.sha256).hexdigest()}"
        )

    def test_a_root_may_be_written_in_either_alphabet_with_or_without_padding(self) -> None:
        raw = bytes(range(200, 232))
        standard, urlsafe = base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()
        forms = [standard, urlsafe, standard.rstrip("="), urlsafe.rstrip("=")]
        assert len({WebhookKey(form).sign(BODY) for form in forms}) == 1

    @pytest.mark.parametrize("root", ["", "x", "é" * 43, ROOT + "AA", ROOT[:-2], "!" * 43, ROOT + "\n", [], [ROOT, ""]])
    def test_a_bad_root_is_refused_with_the_way_to_make_one(self, root: str) -> None:
        with pytest.raises(ConfigurationError, match=r"secrets\.token_bytes\(32\)"):
            WebhookKey(root)

    def test_the_way_to_make_one_works(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            WebhookKey("")
        program = caught.value.hint.split('"')[1]
        made = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
        assert WebhookKey(made.stdout.strip()).sign(BODY)

    @pytest.mark.parametrize(
        "header", [None, "", "sha256=", "é", "sha256=é", "\ud800", "sha1=00", f"sha256={'0' * 64}", "sha256=sha256="]
    )
    def test_a_missing_or_foreign_signature_is_false_and_never_an_exception(self, header: str | None) -> None:
        assert WebhookKey(ROOT).verify(BODY, header) is False

    def test_a_changed_body_is_refused(self) -> None:
        key = WebhookKey(ROOT)
        assert not key.verify(BODY + b" ", key.sign(BODY))

    def test_it_does_not_show_the_key(self) -> None:
        shown = repr(WebhookKey(ROOT))
        assert ROOT not in shown
        assert WebhookKey(ROOT).standard_secrets(ENDPOINT)[0].removeprefix("whsec_") not in shown

    def test_rotation_is_seamless_in_both_directions(self) -> None:
        old, both, new = WebhookKey(ROOT), WebhookKey([OTHER_ROOT, ROOT]), WebhookKey(OTHER_ROOT)
        assert both.verify(BODY, old.sign(BODY))
        assert both.sign(BODY) == new.sign(BODY)

    def test_the_functions_for_receivers_take_a_root_or_a_key(self) -> None:
        signature = sign_body(BODY, ROOT)
        assert verify_signature(body=BODY, signature=signature, key=WebhookKey(ROOT))
        assert verify_signature(body=BODY, signature=signature, key=ROOT)
        assert not verify_signature(body=BODY, signature=None, key=ROOT)
        assert not verify_signature(body=BODY, signature=signature, key=OTHER_ROOT)


def test_checking_a_webhook_needs_only_the_standard_library() -> None:
    """A receiver may be small: what the rest of this library needs need not be there."""
    program = f"""
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {{*sys.stdlib_module_names, "awaithumans"}}:
            raise ImportError(name)

sys.meta_path.insert(0, Nothing())
from awaithumans.signing import sign_body, verify_signature

signature = sign_body(b"{{}}", {ROOT!r})
assert verify_signature(body=b"{{}}", signature=signature, key={ROOT!r})
assert not verify_signature(body=b"[]", signature=signature, key={ROOT!r})
try:
    import pydantic
except ImportError:
    print("alone")
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "alone\n"


def receiver_with(key: WebhookKey, endpoint: str = ENDPOINT) -> Webhook:
    """Make what a receiver with only its endpoint's secret checks with."""
    return Webhook(key.standard_secrets(endpoint)[0])


class TestStandardWebhooks:
    """The library that receivers use is the judge."""

    def setup_method(self) -> None:
        self.now = int(datetime.now(UTC).timestamp())  # receivers refuse what is five minutes old

    def headers(self, key: WebhookKey, *, timestamp: int | None = None) -> dict[str, str]:
        secrets = key.standard_secrets(ENDPOINT)
        return standard_headers(secrets, message_id="msg-1", timestamp=timestamp or self.now, body=BODY)

    def test_a_receiver_accepts_it(self) -> None:
        key = WebhookKey(ROOT)
        assert receiver_with(key).verify(BODY, self.headers(key)) == json.loads(BODY)

    def test_the_secret_is_derived_as_the_documentation_says(self) -> None:
        info = b"standard-webhooks/v1/" + ENDPOINT.encode()
        hkdf = HKDF(algorithm=SHA256(), length=32, salt=b"awaithumans-webhook-v1", info=info)
        derived = hkdf.derive(base64.b64decode(ROOT + "="))
        assert WebhookKey(ROOT).standard_secrets(ENDPOINT) == (f"whsec_{base64.b64encode(derived).decode()}",)

    def test_one_endpoints_secret_is_worth_nothing_at_another(self) -> None:
        key = WebhookKey(ROOT)
        with pytest.raises(WebhookVerificationError):
            receiver_with(key, "https://agent.example/other").verify(BODY, self.headers(key))

    def test_an_endpoints_secret_does_not_make_the_signature_of_the_key(self) -> None:
        """A receiver that has only its own secret cannot speak to those that have the key."""
        key = WebhookKey(ROOT)
        secret = base64.b64decode(key.standard_secrets(ENDPOINT)[0].removeprefix("whsec_"))
        assert not key.verify(BODY, hmac.digest(secret, BODY, "sha256").hex())

    @pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA", "whsec_é", f"whsec_{'A' * 92}", "A" * 32])
    def test_a_bad_secret_is_refused(self, secret: str) -> None:
        with pytest.raises(ConfigurationError, match="whsec_"):
            standard_headers([secret], message_id="msg-1", timestamp=0, body=BODY)

    def test_the_signature_is_what_the_library_makes(self) -> None:
        key = WebhookKey(ROOT)
        theirs = receiver_with(key).sign("msg-1", datetime.fromtimestamp(self.now, UTC), BODY.decode())
        assert self.headers(key)["webhook-signature"] == theirs

    @pytest.mark.parametrize("receiver", [ROOT, OTHER_ROOT])
    def test_during_rotation_receivers_with_either_key_accept_it(self, receiver: str) -> None:
        headers = self.headers(WebhookKey([OTHER_ROOT, ROOT]))
        assert receiver_with(WebhookKey(receiver)).verify(BODY, headers)

    def test_a_replay_of_an_old_request_is_refused(self) -> None:
        key = WebhookKey(ROOT)
        with pytest.raises(WebhookVerificationError):
            receiver_with(key).verify(BODY, self.headers(key, timestamp=self.now - 3_600))

    def test_another_id_is_refused(self) -> None:
        key = WebhookKey(ROOT)
        with pytest.raises(WebhookVerificationError):
            receiver_with(key).verify(BODY, {**self.headers(key), "webhook-id": "msg-2"})
