"""What a reply says in its writer's own words, in the forms that programs send."""

from __future__ import annotations

import time
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awaithumans.channels.email.replies import addressed_to, is_automatic, own_words, read, sender_of

HTML = "<html><head><style>p {{}}</style></head><body>{}</body></html>"


def reply(text: str = "Yes", *, html: str | None = None, **headers: str) -> bytes:
    mail = EmailMessage()
    given = {"From": "Ana <ana@example.com>", "To": "reply+x@example.com", "Subject": "Re: Approve?", **headers}
    for name, value in given.items():
        mail[name.replace("_", "-")] = value
    if text or html is None:
        mail.set_content(text)
        if html:
            mail.add_alternative(html, subtype="html")
    else:
        mail.set_content(html, subtype="html")
    return mail.as_bytes()


QUOTED = "\n> You are asked to decide.\n>\n>   Approve the refund?\n"


@pytest.mark.parametrize(
    "text",
    [
        "Yes",
        "Yes\n\n" + QUOTED,
        "Yes\n\nOn Mon, Jan 5, 2026 at 1:00 PM Acme <approvals@example.com> wrote:\n" + QUOTED,
        "Yes\n\nOn Mon, Jan 5, 2026 at 1:00 PM Acme Approvals of the Long Name\n<approvals@example.com> wrote:\n"
        + QUOTED,
        "Yes\n\nOn 5. Jan 2026, at 13:00, Acme <approvals@example.com> wrote:\n\n" + QUOTED,
        "Yes\n\nAm Mo., 5. Jan. 2026 um 13:00 Uhr schrieb Acme <approvals@example.com>:\n" + QUOTED,
        "Yes\n\nLe lun. 5 janv. 2026 à 13:00, Acme <approvals@example.com> a écrit :\n" + QUOTED,
        "Yes\n\nEl lun, 5 ene 2026 a las 13:00, Acme (<approvals@example.com>) escribió:\n" + QUOTED,
        "Yes\n\nIl giorno lun 5 gen 2026 alle ore 13:00 Acme <a@example.com> ha scritto:\n" + QUOTED,
        "Yes\n\nOp ma 5 jan 2026 om 13:00 schreef Acme <approvals@example.com>:\n" + QUOTED,
        "Yes\n\nEm seg., 5 de jan. de 2026 às 13:00, Acme <a@example.com> escreveu:\n" + QUOTED,
        "Yes\n\nDen mån 5 jan. 2026 kl 13:00 skrev Acme <approvals@example.com>:\n" + QUOTED,
        "Yes\n\nAcme <approvals@example.com> 于2026年1月5日周一 13:00写道：\n" + QUOTED,
        "Yes\n\n2026年1月5日(月) 13:00 Acme <approvals@example.com>:\n" + QUOTED,
        "Yes\n\n-----Original Message-----\nFrom: Acme\nSent: Monday\nTo: Ana\nSubject: Approve?\n\nApprove?",
        "Yes\n\n-----Ursprüngliche Nachricht-----\nVon: Acme\nGesendet: Montag\n\nApprove?",
        "Yes\n\n-------- Message d'origine --------\nDe : Acme\nDate : 05/01/2026\n\nApprove?",
        "Yes\n\n________________________________\nFrom: Acme <a@example.com>\nSent: Monday\nTo: Ana\n\nApprove?",
        "Yes\n\nFrom: Acme <approvals@example.com>\nSent: Monday, January 5, 2026\nTo: Ana\nSubject: Re\n\nApprove?",
        "Yes\n\nVon: Acme <approvals@example.com>\nGesendet: Montag, 5. Januar 2026\nAn: Ana\nBetreff: Re\n\nApprove?",
        "Yes\n\n*De :* Acme\n*Envoyé :* lundi 5 janvier\n*À :* Ana\n\nApprove?",
        "Yes\n\n-- \nAna Šimić\nHead of refunds",
        "Yes\n\nSent from my iPhone\n\nOn 5 Jan 2026, at 13:00, Acme <a@example.com> wrote:\n" + QUOTED,
        "Yes\n\nVon meinem iPhone gesendet",
        "Yes\r\n\r\nGet Outlook for iOS\r\n",
        "  Yes \xa0 ",
    ],
)
def test_what_was_replied_to_is_left_out(text: str) -> None:
    assert own_words(read(reply(text))) == "Yes"


@pytest.mark.parametrize(
    "html",
    [
        "<div>Yes</div>",
        '<div dir="ltr">Yes</div><div class="gmail_quote"><div>On … wrote:</div><blockquote>No</blockquote></div>',
        "Yes<br><br><blockquote type=cite>No<br>No</blockquote>",
        '<p>Yes</p><div id="appendonsend"></div><hr><div id="divRplyFwdMsg"><b>From:</b> Acme</div><div>No</div>',
        "<p>Yes</p><hr><p><b>From:</b> Acme</p><p>No</p>",
        '<p>Yes</p><div class="moz-cite-prefix">Am 05.01.26 schrieb Acme:</div><blockquote>No</blockquote>',
        '<div>Yes</div><div class="yahoo_quoted"><div>No</div></div>',
        "<div>Yes</div><p>From: Acme<br>Sent: Monday<br>To: Ana<br></p><p>No</p>",
        "<style>No</style><script>No</script><!-- No --><p>&#89;es</p>",
        "<p>Y<b>es</b></p>",
    ],
)
def test_a_reply_in_html_alone_is_read_too(html: str) -> None:
    assert own_words(read(reply("", html=HTML.format(html)))) == "Yes"


@pytest.mark.parametrize(
    "text",
    [
        "Yes\n\nbut only half of it",
        "Yes\n" + QUOTED + "\nbut only half of it\n",
        "Yes, for these 2:\n" + QUOTED,
        "Yes\nbut only for the 2 of these:\n" + QUOTED,
        "Yes\nA part of it, up to 100\nOn Mon, Jan 5, 2026 at 1:00 PM Acme <a@example.com> wrote:\n" + QUOTED,
        "Yes\n\nAna",
        "Yes?\nFrom: what I know, no",
    ],
)
def test_words_that_may_belong_to_the_answer_are_never_lost(text: str) -> None:
    """An answer that is too long is asked again; one that is too short is wrong."""
    assert own_words(read(reply(text))) != "Yes"


def test_the_plain_part_counts_where_there_are_both_and_attachments_never() -> None:
    mail = EmailMessage()
    mail["From"], mail["To"] = "ana@example.com", "reply@example.com"
    mail.set_content("Yes")
    mail.add_alternative("<p>No</p>", subtype="html")
    mail.add_attachment("No", filename="no.txt")
    assert own_words(read(mail)) == "Yes"


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "utf-16", "no-such-charset"])
def test_any_charset_is_read_somehow(charset: str) -> None:
    body = "Já".encode(charset if charset != "no-such-charset" else "utf-8")
    raw = b"Content-Type: text/plain; charset=" + charset.encode() + b"\nContent-Transfer-Encoding: 8bit\n\n" + body
    assert charset == "utf-16" or own_words(read(raw)) == "Já"


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Auto_Submitted": "auto-generated; owner=x"},
        {"Precedence": "bulk"},
        {"Precedence": "auto_reply"},
        {"List_Id": "<people.example.com>"},
        {"List_Unsubscribe": "<mailto:off@example.com>"},
        {"X_Autoreply": "yes"},
        {"X_Auto_Response_Suppress": "All"},
        {"X_Auto_Response_Suppress": "OOF, AutoReply"},
        {"Return_Path": "<>"},
        {"X_Failed_Recipients": "ana@example.com"},
        {"From": "Mail Delivery System <MAILER-DAEMON@example.com>"},
        {"From": "no-reply@example.com"},
        {"Subject": "Automatic reply: Approve?"},
        {"Subject": "Abwesenheitsnotiz: Approve?"},
        {"Subject": "Réponse automatique : Approve?"},
        {"Subject": "Out of Office Re: Approve?"},
    ],
)
def test_a_program_is_known_for_one(headers: dict[str, str]) -> None:
    assert is_automatic(read(reply(**headers)))


def test_a_bounce_is_known_for_one() -> None:
    raw = b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\n\nYes\n--x--\n"
    assert is_automatic(read(raw))


@pytest.mark.parametrize("headers", [{}, {"Auto_Submitted": "no"}, {"Subject": "Re: Automatic payments?"}])
def test_a_person_is_not_taken_for_a_program(headers: dict[str, str]) -> None:
    assert not is_automatic(read(reply(**headers)))


def test_where_it_was_sent_is_looked_up_in_every_header_that_says_so() -> None:
    raw = b"To: Acme <a@x.example>, b@x.example\nCc: c@x.example\nDelivered-To: reply+T@x.example\n\nYes"
    assert addressed_to(read(raw)) == ["a@x.example", "b@x.example", "c@x.example", "reply+T@x.example"]


@given(st.binary(max_size=400) | st.text(alphabet='<>div/ blockquote="\n:>-_OnFrom12@', max_size=400).map(str.encode))
def test_nothing_that_comes_in_breaks_the_reader(body: bytes) -> None:
    for head in (b"", b"Content-Type: text/html\n\n", b"From: \xff\nTo: <<@\nSubject: =?x?q?y?=\n\n"):
        mail = read(head + body)
        assert isinstance(own_words(mail) + sender_of(mail), str)
        assert is_automatic(mail) in {True, False}
        assert addressed_to(mail)


def nested(head: bytes, times: int) -> bytes:
    return b"".join(head.replace(b"#", str(n).encode()) for n in range(times)) + b"Content-Type: text/plain\n\nYes"


@pytest.mark.parametrize(
    "raw",
    [
        b"Subject: =?utf-8?b?a?=\n\nYes",
        b"Content-Type: text/plain; charset=idna\n\nYes\xff",
        b"Content-Type: text/plain; charset=undefined\n\nYes",
        b'Content-Type: text/plain; charset="utf\0"\n\nYes',
        b"Content-Type: text/html\n\n<![foo[Yes",
        b"Content-Type: multipart/mixed; boundary*" + b"9" * 5_000 + b"*=x\n\n--x\n\nYes",
        b"To: " + b"(" * 100_000 + b"\n\nYes",
        nested(b"Content-Type: multipart/mixed; boundary=b#\n\n--b#\n", 1_500),
        nested(b"Content-Type: message/rfc822\n\n", 900),
        nested(b"Content-Type: message/rfc822\n\n", 1_500),
    ],
)
def test_a_mail_made_to_break_the_reader_does_not(raw: bytes) -> None:
    mail = read(raw)
    assert isinstance(own_words(mail) + sender_of(mail), str)
    assert not is_automatic(mail)
    assert addressed_to(mail)


def test_half_of_what_was_said_in_malformed_markup_is_no_answer() -> None:
    assert own_words(read(b"Content-Type: text/html\n\n<p>Yes</p><![foo[<p>but not this year</p>")) == ""


def test_a_mail_that_the_host_has_parsed_is_read_without_a_look_at_its_malformed_headers() -> None:
    raw = b"To: " + b", ".join(b"a%d@x.example" % n for n in range(3_000)) + b"\nSubject: =?utf-8?b?a?=\n\nYes"
    began = time.process_time()
    mail = read(message_from_bytes(raw, policy=default))
    assert (own_words(mail), addressed_to(mail)[0]) == ("Yes", "a0@x.example")
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "line", ["On 1" + " wrote" * 3_000 + ":", "-" * 20_000, "_ " * 9_000, "a@" * 9_000 + "1:", ">" * 19_000]
)
def test_a_hostile_reply_takes_no_longer_than_others(line: str) -> None:
    """Each expression looks at a line at most once, or at a short one."""
    began = time.process_time()
    for text in (line, "\n".join([line[:300]] * 60)):
        own_words(read(b"\n\n" + text.encode()))
    assert time.process_time() - began < 2
