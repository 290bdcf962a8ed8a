"""What proves a store, a channel or an agent: suites, doubles and factories.

Import the module you need; `stores`, for one, needs pytest.
"""
