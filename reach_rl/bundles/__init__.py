"""Policies in folders for others: an ONNX bundle that proves itself, SB3's files, the hub's."""
