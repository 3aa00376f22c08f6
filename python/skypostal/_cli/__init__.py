"""The command line, which is no public API: `main` runs one of the commands, a module each.

Only `__main__` imports it. What one command alone needs is imported when it runs.
"""
