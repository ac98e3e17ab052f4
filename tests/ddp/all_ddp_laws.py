"""All laws of training on many ranks, of every file, for simulated and for real ranks."""

from tests.ddp import ddp_laws, hook_laws, join_laws, sync_norm_laws

LAWS = [*ddp_laws.LAWS, *sync_norm_laws.LAWS, *join_laws.LAWS, *hook_laws.LAWS]
