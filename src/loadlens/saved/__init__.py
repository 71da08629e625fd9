"""Saved profiles: written, checked, read and merged."""
