"""Asking people in Slack."""
