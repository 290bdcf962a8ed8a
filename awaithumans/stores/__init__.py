"""Where tasks are kept: `memory` for tests and trials, `sqlalchemy` for good."""
