"""Begin a refund in the application of app.py, and print where it is decided.

    python docs/examples/langgraph_app/kickoff.py A-1001

Run it again to see how the refund stands. `URL` in the environment says where
the application is, if not at http://127.0.0.1:8000.
"""

from __future__ import annotations

import os
import sys

import httpx2

URL = os.environ.get("URL", "http://127.0.0.1:8000")


def main(order: str) -> None:
    """Send the request that a shop's own code would send."""
    reply = httpx2.post(f"{URL}/refunds/{order}", timeout=30)
    reply.raise_for_status()
    refund = reply.json()
    if refund["done"]:
        print(f"Order {order}: {refund['decision']}")
    else:
        print(f"Decide about order {order}: {refund['link']}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "A-1001")
