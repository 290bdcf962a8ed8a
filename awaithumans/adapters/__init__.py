"""Where agents live that sleep for days: graphs and workflows.

An adapter sees only `TaskEngine`, so it works in the engine's own process and
over HTTP.
"""
