"""Turns very large load-test logs into decisions."""
