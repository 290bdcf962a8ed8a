"""Ways to reach people and programs; each module is one."""
