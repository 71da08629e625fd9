"""Measures loadlens against the ways one would otherwise compute the same figures."""

__all__: list[str] = []
