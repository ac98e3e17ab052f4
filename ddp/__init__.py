"""Data-parallel training: process groups, DistributedDataParallel, samplers, simulated ranks."""

from typing import NoReturn as _NoReturn

from ddp import functional
from ddp import nn as nn
from ddp import probe as probe
from ddp.average import mean
from ddp.call import (
    CollectiveError,
    CollectiveMismatchError,
    CollectiveTimeoutError,
    DeadlockError,
    DistBackendError,
    DistError,
    RankFailedError,
)
from ddp.checkpoint import load, save
from ddp.collectives import (
    all_gather,
    all_gather_coalesced,
    all_gather_into_tensor,
    all_gather_object,
    all_gather_single,
    all_reduce,
    all_reduce_coalesced,
    all_to_all,
    all_to_all_single,
    barrier,
    broadcast,
    broadcast_object_list,
    gather,
    gather_object,
    reduce,
    reduce_scatter,
    reduce_scatter_single,
    reduce_scatter_tensor,
    scatter,
    scatter_object_list,
)
from ddp.consensus import (
    agree,
    main_process_first,
    mean_metrics,
    monitored_barrier,
    print,
    rank_zero_only,
)
from ddp.data_parallel import DataParallel, data_parallel, parallel_apply, replicate
from ddp.distributed import DistributedDataParallel
from ddp.group import ProcessGroup, ReduceOp, Work
from ddp.group_core import default_pg_timeout
from ddp.hook_types import DDPCommHookType, register_ddp_comm_hook
from ddp.hooks import (
    ErrorFeedback,
    GradBucket,
    Then,
    TopKState,
    allreduce_hook,
    bf16_compress_hook,
    bf16_compress_wrapper,
    fp16_compress_hook,
    fp16_compress_wrapper,
    noop_hook,
    topk_hook,
)
from ddp.join import Join, stop_together, uneven
from ddp.joinable import Joinable, JoinHook
from ddp.lifecycle import (
    destroy_process_group,
    get_backend,
    get_global_rank,
    get_group_rank,
    get_local_rank,
    get_process_group_ranks,
    get_rank,
    get_shards,
    get_world_size,
    init_process_group,
    is_initialized,
    new_group,
)
from ddp.loader import DataLoader, GlobalBatches
from ddp.local_sgd import (
    PeriodicModelAverager,
    PostLocalSGDOptimizer,
    PostLocalSGDState,
    post_localSGD_hook,
)
from ddp.parallel_layers import ColumnParallelLinear, RowParallelLinear
from ddp.point_to_point import (
    P2POp,
    batch_isend_irecv,
    irecv,
    isend,
    recv,
    recv_object_list,
    send,
    send_object_list,
)
from ddp.powersgd import PowerSGDState, powerSGD_hook
from ddp.sampler import DistributedSampler, DistributedWeightedSampler
from ddp.simulate import simulate
from ddp.starting import (
    Backend,
    GroupMember,
    get_default_backend_for_device,
    get_node_local_rank,
    is_available,
    is_backend_available,
    is_gloo_available,
    is_mpi_available,
    is_nccl_available,
    is_torchelastic_launched,
    is_ucc_available,
    is_xccl_available,
    reduce_op,
    spawn,
)
from ddp.starting import why_missing as _why_missing
from ddp.stats import Stats, stats
from ddp.stop import should_stop
from ddp.subgroups import new_subgroups, new_subgroups_by_enumeration
from ddp.sync import check_sync, sync_buffers
from ddp.sync_norm import SyncBatchNorm, convert_sync_batchnorm
from ddp.weight import backward
from ddp.zero import ZeroRedundancyOptimizer


def __getattr__(name: str) -> _NoReturn:
    raise AttributeError(f"module 'ddp' has no attribute {name!r}{_why_missing(name)}")


__all__ = [
    "Backend",
    "CollectiveError",
    "CollectiveMismatchError",
    "CollectiveTimeoutError",
    "ColumnParallelLinear",
    "DDPCommHookType",
    "DataLoader",
    "DataParallel",
    "DeadlockError",
    "DistBackendError",
    "DistError",
    "DistributedDataParallel",
    "DistributedSampler",
    "DistributedWeightedSampler",
    "ErrorFeedback",
    "GlobalBatches",
    "GradBucket",
    "GroupMember",
    "Join",
    "JoinHook",
    "Joinable",
    "P2POp",
    "PeriodicModelAverager",
    "PostLocalSGDOptimizer",
    "PostLocalSGDState",
    "PowerSGDState",
    "ProcessGroup",
    "RankFailedError",
    "ReduceOp",
    "RowParallelLinear",
    "Stats",
    "SyncBatchNorm",
    "Then",
    "TopKState",
    "Work",
    "ZeroRedundancyOptimizer",
    "agree",
    "all_gather",
    "all_gather_coalesced",
    "all_gather_into_tensor",
    "all_gather_object",
    "all_gather_single",
    "all_reduce",
    "all_reduce_coalesced",
    "all_to_all",
    "all_to_all_single",
    "allreduce_hook",
    "backward",
    "barrier",
    "batch_isend_irecv",
    "bf16_compress_hook",
    "bf16_compress_wrapper",
    "broadcast",
    "broadcast_object_list",
    "check_sync",
    "convert_sync_batchnorm",
    "data_parallel",
    "default_pg_timeout",
    "destroy_process_group",
    "fp16_compress_hook",
    "fp16_compress_wrapper",
    "functional",
    "gather",
    "gather_object",
    "get_backend",
    "get_default_backend_for_device",
    "get_global_rank",
    "get_group_rank",
    "get_local_rank",
    "get_node_local_rank",
    "get_process_group_ranks",
    "get_rank",
    "get_shards",
    "get_world_size",
    "init_process_group",
    "irecv",
    "is_available",
    "is_backend_available",
    "is_gloo_available",
    "is_initialized",
    "is_mpi_available",
    "is_nccl_available",
    "is_torchelastic_launched",
    "is_ucc_available",
    "is_xccl_available",
    "isend",
    "load",
    "main_process_first",
    "mean",
    "mean_metrics",
    "monitored_barrier",
    "new_group",
    "new_subgroups",
    "new_subgroups_by_enumeration",
    "noop_hook",
    "parallel_apply",
    "post_localSGD_hook",
    "powerSGD_hook",
    "print",
    "rank_zero_only",
    "recv",
    "recv_object_list",
    "reduce",
    "reduce_op",
    "reduce_scatter",
    "reduce_scatter_single",
    "reduce_scatter_tensor",
    "register_ddp_comm_hook",
    "replicate",
    "save",
    "scatter",
    "scatter_object_list",
    "send",
    "send_object_list",
    "should_stop",
    "simulate",
    "spawn",
    "stats",
    "stop_together",
    "sync_buffers",
    "topk_hook",
    "uneven",
]
