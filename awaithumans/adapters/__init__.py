"""Agents' own ways to wait: in a graph, in a workflow."""
