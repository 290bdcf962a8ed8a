"""E-mail: questions that people answer from their inbox."""

from awaithumans.channels.email.answers import ReplyOutcome
from awaithumans.channels.email.channel import EmailChannel
from awaithumans.channels.email.http_api import HttpApi
from awaithumans.channels.email.message import Sender
from awaithumans.channels.email.smtp import Smtp
from awaithumans.channels.email.transports import Envelope, Files, Transport

__all__ = ["EmailChannel", "Envelope", "Files", "HttpApi", "ReplyOutcome", "Sender", "Smtp", "Transport"]
