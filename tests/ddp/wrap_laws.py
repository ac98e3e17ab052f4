"""Laws of the wrapper's arguments and of what it makes of a module, run by every rank."""

import functools

import numpy as np

import core
import ddp
from core import nn, optim
from core.func import functional_call
from ddp.current_group import current_group
from tests.ddp.ddp_laws import batch, gradients, mine, mlp, mse, same


def refused(kind, call, *texts):
    """Nothing; the call raises an error of this kind that says these texts."""
    try:
        call()
    except kind as error:
        assert all(text in str(error) for text in texts), error
    else:
        raise AssertionError("accepted")


def equal_on_all_ranks(x):
    """Whether every rank has the same bits."""
    every = [None] * current_group().size
    current_group().all_gather_object(every, x.detach().numpy().tobytes())
    return every == every[:1] * len(every)


def every_argument_of_pytorchs_is_accepted_in_its_order():
    """Those that PyTorch 2.13 has; what would change a result is refused."""
    ddp.DistributedDataParallel(mlp(), None, None, 0, False, True, current_group(), None)
    model, alone = mlp(), mlp()
    wrapped = ddp.DistributedDataParallel(
        model,
        forward_sync_buffers=True,
        delay_all_reduce_named_params=[("0.bias", model[0].bias)],
        param_to_hook_all_reduce=model[0].weight,
        skip_all_reduce_unused_params=True,
        bucket_cap_mb_list=[1, 2],
        batched_grad_copy=True,
    )
    wrapped._set_static_graph()
    assert (wrapped.find_unused_parameters, wrapped.static_graph) == (False, False)
    assert (wrapped.device_type, wrapped.bucket_bytes_cap) == ("cpu", 25 << 20)
    assert wrapped.parameters_to_ignore == set()
    assert wrapped.require_forward_param_sync
    x, y = batch()
    mse(wrapped(mine(x)), mine(y)).backward()
    mse(alone(x), y).backward()
    same(gradients(model), gradients(alone))
    for given in ({"mixed_precision": 3}, {"device_mesh": 3}, {"device_ids": [0, 1]}):
        wrap = functools.partial(ddp.DistributedDataParallel, mlp(), **given)
        refused(ValueError, wrap, *given)


def arguments_that_differ_by_rank_or_mean_nothing_are_named():
    """On every rank, before anything is made of them."""
    group = current_group()
    last = group.size - 1
    for name, one, other in (
        ("bucket_cap_mb", 25, "auto"),
        ("bucket_cap_mb", 25, 1),
        ("broadcast_buffers", True, False),
        ("init_sync", True, False),
    ):
        given = {name: other if group.rank == last else one}
        wrap = functools.partial(ddp.DistributedDataParallel, mlp(), **given)
        if last:
            words = (f"rank {group.rank}: ", f"rank {last} has {name}=")
            refused(ValueError, wrap, *words)
    for cap in (-1, float("nan"), "fast"):
        wrap = functools.partial(ddp.DistributedDataParallel, mlp(), bucket_cap_mb=cap)
        refused(ValueError, wrap, "bucket_cap_mb", repr(cap))
    for every in (0, -1, 1.5):
        refused(ValueError, functools.partial(ddp.check_sync, mlp(), every=every), repr(every))
    for weight in (-1, float("nan"), float("inf")):
        refused(ValueError, functools.partial(ddp.backward, core.ones(()), weight), "weight")
    every_own = ddp.DistributedDataParallel(mlp(), bucket_cap_mb=0)  # as in PyTorch
    assert len(every_own.reducer.buckets) == 4


def without_init_sync_every_rank_keeps_its_numbers():
    """Until the first step that gives them other ones."""
    core.manual_seed(current_group().rank)
    kept = ddp.DistributedDataParallel(nn.Linear(3, 2), init_sync=False)
    assert equal_on_all_ranks(kept.module.weight) == (current_group().size == 1)


def what_is_added_after_wrapping_is_named():
    """A parameter, a layer, and another module in the place of the wrapped one."""
    x = mine(batch()[0])

    def parameter(model):
        model.module[0].scale = nn.Parameter(core.ones(1, dtype=core.float64))

    def layer(model):
        model.module.add_module("3", nn.Linear(3, 3).double())

    def whole(model):
        model.module = mlp()

    for change, text in (
        (parameter, "0.scale was added"),
        (layer, " 3 was added"),
        (whole, "the wrapped module was replaced"),
    ):
        model = ddp.DistributedDataParallel(mlp())
        model(x).sum().backward()
        change(model)
        refused(RuntimeError, lambda model=model: model(x), text)


def what_changed_is_noticed_past_the_wrapper():
    """In the backward of another method's result, before a step is taken."""
    x = mine(batch()[0])

    def replace(module):
        module[0].weight = nn.Parameter(core.ones(7, 5, dtype=core.float64))

    def unfreeze(module):
        module[0].requires_grad_(True)

    for change, text in ((replace, "0.weight was replaced"), (unfreeze, "unfrozen")):
        module = mlp()
        module[0].requires_grad_(change is replace)
        model = ddp.DistributedDataParallel(module)
        for _ in range(2):
            model.module(x).sum().backward()
        change(module)
        if current_group().size > 1:
            refused(RuntimeError, lambda module=module: module(x).sum().backward(), text)


def modules_that_have_no_sizes_yet_are_refused():
    """Before anything is made of them."""
    lazy = nn.Sequential(nn.LazyLinear(3))
    refused(RuntimeError, lambda: ddp.DistributedDataParallel(lazy), "uninitialized")


class OwnParts(nn.Module):
    """A layer that all ranks train, and one that each has for itself, of its own width."""

    def __init__(self, width):
        super().__init__()
        core.manual_seed(2)
        self.shared = nn.Linear(5, 3).double()
        self.own = nn.Linear(3, width).double()
        self.own.register_buffer("seen", core.full((width,), float(width)))

    def forward(self, x):
        return self.own(self.shared(x).tanh())


def what_is_ignored_is_each_ranks_own():
    """It is not compared, broadcast or reduced, and may be replaced."""
    group = current_group()
    width = 2 + group.rank
    model = OwnParts(width)
    names = ["own.weight", "own.bias", "own.seen"]
    ddp.DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, names)
    wrapped = ddp.DistributedDataParallel(model)
    x, seen = mine(batch()[0]), model.own.seen
    for _ in range(2):
        wrapped.zero_grad()
        wrapped(x).sum().backward()
        assert equal_on_all_ranks(model.shared.weight.grad)
        assert model.own.bias.grad.tolist() == [len(x)] * width
        assert (seen == width).all()
        model.own = nn.Linear(3, width).double()


def one_may_set_the_flag_instead_of_no_sync():
    """`require_backward_grad_sync`, as training loops for PyTorch do."""
    model, alone = mlp(), mlp()
    wrapped = ddp.DistributedDataParallel(model)
    for step in range(3):
        x, y = batch(step)
        wrapped.require_backward_grad_sync = step == 2
        mse(wrapped(mine(x)), mine(y)).backward()
        assert current_group().size == 1 or step == 2 or not equal_on_all_ranks(model[0].bias.grad)
        mse(alone(x), y).backward()
    assert wrapped.require_backward_grad_sync
    same(gradients(model), gradients(alone))


def other_parameters_may_stand_in():
    """`functional_call` gives the result and the gradients of what it is given."""
    model, given = mlp(), {f"module.{n}": p for n, p in mlp().named_parameters()}
    shards = current_group().size if current_group().size in (1, 2, 4, 8) else None
    for wrapped in (
        ddp.DistributedDataParallel(model),
        ddp.DistributedDataParallel(model, shards=shards),
    ):
        x, y = (mine(z) for z in batch())
        with core.no_grad():
            given["module.0.bias"] += 1
            expected = model(x)
        found = functional_call(wrapped, given, x)
        assert not (found == expected).any()
        mse(found, y).backward()
        assert model[0].bias.grad is None and given["module.0.bias"].grad is not None
        assert (wrapped(x) == expected).all()


def wrapped_modules_may_be_parts():
    """Of other modules, wrapped ones too: their states and gradients are those of bare ones."""
    model, alone = mlp(), mlp()
    inner = ddp.DistributedDataParallel(model)
    outer = nn.Sequential(inner, nn.Identity())
    x, y = batch()
    for wrapped in (outer, ddp.DistributedDataParallel(inner)):
        wrapped.zero_grad()
        alone.zero_grad()
        mse(wrapped(mine(x)), mine(y)).backward()
        mse(alone(x), y).backward()
        same(gradients(model), gradients(alone))
    state = nn.Sequential(mlp(), nn.Identity()).state_dict()
    assert list(outer.state_dict()) == list(state)
    with core.no_grad():
        model[0].weight.zero_()
    outer.load_state_dict(state)
    assert (model[0].weight == alone[0].weight).all()
    named = nn.Sequential(ddp.DistributedDataParallel(nn.ModuleDict({"module": nn.Linear(2, 2)})))
    named.load_state_dict(named.state_dict())


def a_state_saved_by_pytorchs_wrapper_fits():
    """Its keys begin with `module.`; other keys are refused as before."""
    model, state = ddp.DistributedDataParallel(mlp()), mlp().state_dict()
    with core.no_grad():
        model.module[0].weight.zero_()
    model.load_state_dict({f"module.{key}": x for key, x in state.items()})
    assert (model.module[0].weight == state["0.weight"]).all()
    refused(RuntimeError, lambda: model.load_state_dict({"module.9.weight": core.ones(1)}), "9.wei")


def layers_without_outputs_and_outputs_without_gradients():
    """Empty parameters have empty gradients; objects of any class may be returned."""

    class Held:
        def __init__(self, x):
            self.x = x

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.empty = nn.Linear(5, 4), nn.Linear(4, 0)

        def forward(self, x):
            out = self.layer(x)
            return {"held": Held(out), "cut": out.detach(), "empty": self.empty(out)}

    model = ddp.DistributedDataParallel(Odd())
    for _ in range(2):
        out = model(core.ones(2, 5))
        assert not out["cut"].requires_grad
        (out["held"].x.sum() + out["empty"].sum()).backward()
    assert model.module.empty.weight.grad.shape == (0, 4)
    assert (model.module.layer.bias.grad.numpy() == 4).all()


def an_output_that_the_loss_leaves_out_changes_nothing():
    """Gradients of before stay as they are, None stays None, whatever backward comes next."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            core.manual_seed(1)
            self.a, self.b = nn.Linear(5, 3).double(), nn.Linear(5, 3).double()

        def forward(self, x):
            return self.a(x), self.b(x)

    model, alone = Two(), Two()
    wrapped = ddp.DistributedDataParallel(model, bucket_cap_mb=0.0001)
    x, _ = batch()
    for both in (False, True, True, False, False):
        for m, part in ((wrapped, mine(x)), (alone, x)):
            a, b = m(part)
            (a.pow(2).mean() + b.mean() if both else b.mean()).backward()
        same(gradients(model), gradients(alone))


def gradients_of_gradients_under_create_graph():
    """Backward with create_graph has the values it has without."""
    model, alone = mlp(), mlp()
    wrapped = ddp.DistributedDataParallel(model)
    x, y = batch()
    for _ in range(2):
        mse(wrapped(mine(x)), mine(y)).backward(create_graph=True)
        mse(alone(x), y).backward()
    found = {n: p.grad.detach().numpy() for n, p in model.named_parameters()}
    for name, g in gradients(alone).items():
        np.testing.assert_allclose(found[name], g, rtol=1e-12, atol=1e-12)


def hooks_after_a_gradient_see_the_reduced_one():
    """A step of the optimizer may be taken in them, parameter by parameter."""
    shards = current_group().size if current_group().size in (1, 2, 4, 8) else None
    for before in (True, False):
        for count in (None, shards):
            module, alone = mlp(), mlp()
            model = None if before else ddp.DistributedDataParallel(module, shards=count)
            steps = {p: optim.SGD([p], lr=0.1, momentum=0.9) for p in module.parameters()}

            def hook(p, steps=steps):
                steps[p].step()
                steps[p].zero_grad()

            handles = [p.register_post_accumulate_grad_hook(hook) for p in module.parameters()]
            model = model or ddp.DistributedDataParallel(module, shards=count)
            opt = optim.SGD(alone.parameters(), lr=0.1, momentum=0.9)
            for step in range(3):
                x, y = batch(step)
                mse(model(mine(x)), mine(y)).backward()
                assert all(p.grad is None for p in module.parameters())
                opt.zero_grad()
                mse(alone(x), y).backward()
                opt.step()
            for p, q in zip(module.parameters(), alone.parameters(), strict=True):
                np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-11)
            for handle in handles:
                handle.remove()
            with model.no_sync():
                mse(model(mine(x)), mine(y)).backward()
            assert module[0].weight.grad is not None


LAWS = [
    every_argument_of_pytorchs_is_accepted_in_its_order,
    arguments_that_differ_by_rank_or_mean_nothing_are_named,
    without_init_sync_every_rank_keeps_its_numbers,
    what_is_added_after_wrapping_is_named,
    what_changed_is_noticed_past_the_wrapper,
    modules_that_have_no_sizes_yet_are_refused,
    what_is_ignored_is_each_ranks_own,
    one_may_set_the_flag_instead_of_no_sync,
    other_parameters_may_stand_in,
    wrapped_modules_may_be_parts,
    a_state_saved_by_pytorchs_wrapper_fits,
    layers_without_outputs_and_outputs_without_gradients,
    an_output_that_the_loss_leaves_out_changes_nothing,
    gradients_of_gradients_under_create_graph,
    hooks_after_a_gradient_see_the_reduced_one,
]
