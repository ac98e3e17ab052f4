"""How layers are made: what they register, draw and lay out is the same in both libraries."""

import importlib

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

import core  # noqa: E402

LAWS = {}


def law(function):
    """Add a function of a library whose result is to be the same."""
    LAWS[function.__name__.replace("_", " ")] = function
    return function


@law
def what_layers_share_is_found_where_programs_look(m):
    files, kinds = m.nn.modules, (m.nn.BatchNorm2d(1), m.nn.InstanceNorm1d(1), m.nn.Conv2d(1, 1, 1))
    kinds += (m.nn.ConvTranspose1d(1, 1, 1), m.nn.MSELoss(), m.nn.NLLLoss(), m.nn.LayerNorm(1))
    shared = (
        files.batchnorm._NormBase, files.batchnorm._BatchNorm, files.instancenorm._InstanceNorm,
        files.conv._ConvNd, files.loss._Loss, files.loss._WeightedLoss,
    )  # fmt: skip
    return [[isinstance(x, kind) for kind in shared] for x in kinds]


@law
def hooks_of_what_is_registered(m):
    every = importlib.import_module(f"{m.__name__}.nn.modules.module")
    log = []

    def note(module, name, value):
        log.append((type(module).__name__, name, type(value).__name__))

    kinds = ("parameter", "buffer", "module")
    handles = [getattr(every, f"register_module_{k}_registration_hook")(note) for k in kinds]
    net = m.nn.Sequential(m.nn.BatchNorm1d(2), m.nn.Linear(2, 2))
    net[0].running_mean = m.zeros(2)
    net[1].bias = None
    for handle in handles:
        handle.remove()
    double = every.register_module_parameter_registration_hook(
        lambda module, name, p: m.nn.Parameter(p.detach() * 0 + 2)
    )
    net = m.nn.Module()
    net.w = m.nn.Parameter(m.zeros(1))
    double.remove()
    return log, net.w.tolist()


@law
def hooks_that_are_seen(m):
    net = m.nn.Linear(2, 2)
    net.register_forward_hook(len)
    net.register_forward_pre_hook(max)
    return list(net._forward_hooks.values()), list(net._forward_pre_hooks.values())


@law
def layers_whose_weights_are_not_drawn(m):
    before = m.get_rng_state().tolist()
    net = m.nn.utils.skip_init(m.nn.Conv2d, 2, 3, 2, bias=False)
    same = m.get_rng_state().tolist() == before
    return same, repr(net), [tuple(p.shape) for p in net.parameters()]


@law
def layers_that_cannot_be_left_undrawn(m):
    m.nn.utils.skip_init(m.nn.ReLU)


@law
def weights_in_another_memory_order(m):
    net = m.nn.Sequential(m.nn.Conv2d(2, 3, 2), m.nn.Conv3d(2, 3, 2))
    m.nn.utils.convert_conv2d_weight_memory_format(net, m.channels_last)
    m.nn.utils.convert_conv3d_weight_memory_format(net, m.channels_last_3d)
    return [part.weight.stride() for part in net]


def outcome(function, library):
    try:
        return function(library)
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("name", LAWS)
def test_both_libraries_agree(name):
    assert outcome(LAWS[name], core) == outcome(LAWS[name], torch)
