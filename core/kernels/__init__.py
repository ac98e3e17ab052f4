"""The same ops, faster, per device: delete this folder and every result stays."""
