"""Make the tables.

What a host's own migrations have made already is left as it is.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGTEXT

revision = "r0001"
down_revision = None
branch_labels = None
depends_on = None

_Id = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
_Text = sa.Text().with_variant(LONGTEXT(), "mysql", "mariadb")
_EXACT = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_nopad_bin"}
_ON_MARIADB = {f"{name}_{option}": value for name in ("mariadb", "mysql") for option, value in _EXACT.items()}


def upgrade() -> None:
    """Make the tables and their indexes."""
    _make_tasks()
    _make_addressees()
    _make_words()
    _make_trail()
    _make_effects()
    _make_records()
    op.create_table(
        "awaithumans_keys",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("encrypted", _Text, nullable=False),
        if_not_exists=True,
        **_ON_MARIADB,
    )
    op.create_table(
        "awaithumans_schema",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        if_not_exists=True,
        **_ON_MARIADB,
    )


def _make_tasks() -> None:
    op.create_table(
        "awaithumans_tasks",
        sa.Column("id", _Id, primary_key=True),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("refused", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("deadline", sa.BigInteger, nullable=False),
        sa.Column("key_digest", sa.String(64), nullable=False),
        sa.Column("held_key", sa.String(64), unique=True),
        sa.Column("assignee_id", _Text),
        sa.Column("assignee_email", _Text),
        sa.Column("assignee_slack", _Text),
        sa.Column("assignee_name", _Text),
        sa.Column("outcome", _Text),
        sa.Column("spec", _Text),
        sa.Column("state", _Text),
        if_not_exists=True,
        **_ON_MARIADB,
    )
    _index("awaithumans_tasks_newest", "awaithumans_tasks", "created_at", "id")
    _index("awaithumans_tasks_by_status", "awaithumans_tasks", "status", "created_at", "id")
    _index("awaithumans_tasks_by_deadline", "awaithumans_tasks", "status", "deadline", "id")
    _index("awaithumans_tasks_changes", "awaithumans_tasks", "changed_at", "id")
    _index("awaithumans_tasks_by_key", "awaithumans_tasks", "key_digest")


def _make_addressees() -> None:
    op.create_table(
        "awaithumans_addressees",
        sa.Column("task_id", _Id, primary_key=True),
        sa.Column("address", sa.String(255), primary_key=True),
        if_not_exists=True,
        **_ON_MARIADB,
    )
    _index("awaithumans_addressees_by_address", "awaithumans_addressees", "address", "task_id")


def _make_words() -> None:
    op.create_table(
        "awaithumans_words",
        sa.Column("task_id", _Id, primary_key=True),
        sa.Column("words", _Text, nullable=False),
        if_not_exists=True,
        **_ON_MARIADB,
    )


def _make_trail() -> None:
    op.create_table(
        "awaithumans_trail",
        sa.Column("task_id", _Id, primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("previous", _Text, nullable=False),
        sa.Column("stamp", sa.String(32), nullable=False),
        sa.Column("document", _Text, nullable=False),
        if_not_exists=True,
        **_ON_MARIADB,
    )


def _make_effects() -> None:
    op.create_table(
        "awaithumans_effects",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("task_id", _Id, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("lane", sa.String(64), nullable=False),
        sa.Column("recipient", _Text, nullable=False),
        sa.Column("event", _Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("available_at", sa.BigInteger, nullable=False),
        sa.Column("token", sa.String(32)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("receipt", _Text),
        sa.Column("failure", _Text),
        sa.Column("settled_at", sa.BigInteger),
        sa.Column("failed_at", sa.BigInteger),
        if_not_exists=True,
        **_ON_MARIADB,
    )
    _index("awaithumans_effects_of_task", "awaithumans_effects", "task_id", "due", "seq")
    _index("awaithumans_effects_in_lane", "awaithumans_effects", "lane", "due", "seq")
    _index("awaithumans_effects_by_token", "awaithumans_effects", "token")
    unsettled = sa.text("settled_at IS NULL")
    op.create_index(
        "awaithumans_effects_to_do",
        "awaithumans_effects",
        ["settled_at", "available_at", "due", "seq"],
        sqlite_where=unsettled,
        postgresql_where=unsettled,
        if_not_exists=True,
    )
    failed = sa.text("failed_at IS NOT NULL")
    op.create_index(
        "awaithumans_effects_failed",
        "awaithumans_effects",
        ["failed_at", "id"],
        sqlite_where=failed,
        postgresql_where=failed,
        if_not_exists=True,
    )


def _make_records() -> None:
    op.create_table(
        "awaithumans_records",
        sa.Column("kind", sa.String(100).with_variant(sa.String(100, collation="C"), "postgresql"), primary_key=True),
        sa.Column("id", sa.String(512).with_variant(sa.String(512, collation="C"), "postgresql"), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("stamp", sa.String(32), nullable=False),
        sa.Column("document", _Text, nullable=False),
        if_not_exists=True,
        **_ON_MARIADB,
    )


def _index(name: str, table: str, *columns: str) -> None:
    op.create_index(name, table, list(columns), if_not_exists=True)
