"""Asking people in Slack."""

from awaithumans.channels.slack.channel import SlackChannel
from awaithumans.channels.slack.workspaces import SlackApp

__all__ = ["SlackApp", "SlackChannel"]
