"""The Flask example for a proxy that strips a prefix and says so."""

from __future__ import annotations

from werkzeug.middleware.proxy_fix import ProxyFix

from docs.examples.flask_app import app

app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)  # type: ignore[method-assign]
