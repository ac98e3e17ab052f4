"""All laws of training on many ranks, of every file, for simulated and for real ranks."""

from tests.ddp import (
    beside_laws,
    change_laws,
    checkpoint_laws,
    ddp_laws,
    hook_laws,
    join_laws,
    layer_laws,
    local_sgd_laws,
    ported_laws,
    shard_laws,
    shard_norm_laws,
    shard_parameter_laws,
    shard_runs,
    sync_norm_laws,
    use_laws,
    wrap_laws,
    zero_laws,
)

FILES = [
    ddp_laws,
    change_laws,
    sync_norm_laws,
    join_laws,
    hook_laws,
    layer_laws,
    local_sgd_laws,
    ported_laws,
    use_laws,
    wrap_laws,
    zero_laws,
    beside_laws,
    shard_laws,
    shard_norm_laws,
    shard_parameter_laws,
    checkpoint_laws,
]
LAWS = [law for file in FILES for law in file.LAWS]
# Only where ranks are real: they compare themselves with simulated ones.
REAL_LAWS = [shard_runs.real_ranks_have_the_bits_of_one_process]
