"""Logs of text: streams, blocks, records, and rows out of them."""
