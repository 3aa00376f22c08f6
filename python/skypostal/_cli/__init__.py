"""The commands, one module each, and in `common` what they share. `__main__` puts them together.

Imported by nothing but `__main__`. What only one command needs is imported when it runs.
"""
