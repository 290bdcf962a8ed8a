"""Asking people in Slack."""

from awaithumans.channels.slack.channel import SlackChannel
from awaithumans.channels.slack.manifest import slack_manifest
from awaithumans.channels.slack.workspaces import Installation, SlackApp

__all__ = ["Installation", "SlackApp", "SlackChannel", "slack_manifest"]
