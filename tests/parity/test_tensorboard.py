"""SummaryWriter.add_graph: ops, modules and sizes are those that PyTorch draws."""

import pytest

import core

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard", reason="the package: pip install unison-ddp[examples]")
theirs = pytest.importorskip("torch.utils.tensorboard._pytorch_graph")
graph = pytest.importorskip("core.tensorboard.graph").graph


def net(module):
    """A network with parts in parts, a module used twice, two inputs and two outputs."""
    nn = module.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3))
            self.head = nn.Linear(3, 2)
            self.act = nn.Sigmoid()

        def forward(self, x, y):
            h = self.act(self.body(x))
            return self.act(self.head(h * y)).exp(), h

    return Net(), (module.ones(5, 4), module.ones(5, 3))


def cnn(module):
    nn = module.nn
    parts = [nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(8, 2)]
    return nn.Sequential(*parts), module.ones(3, 1, 4, 4)


def drawn(nodes):
    """For each op: its module, its kind, the shape of its result and where its inputs stand."""
    by_name = {node.name: node for node in nodes}
    assert len(by_name) == len(nodes)
    out = []
    for node in nodes:
        if not node.op.startswith("aten::"):
            continue
        sizes = [dim.size for dim in node.attr["_output_shapes"].list.shape[0].dim]
        sources = [by_name[name] for name in node.input]
        places = [source.name.rpartition("/")[0] for source in sources if "aten" in source.op]
        inputs = [source.name for source in sources if source.name.startswith("input/")]
        out.append((node.name.rpartition("/")[0], node.op, sizes, places, inputs))
    return out


@pytest.mark.parametrize("make", [net, cnn])
def test_ops_stand_in_their_modules(make):
    model, inputs = make(core)
    ours = drawn(graph(model, inputs)[0].node)
    names = {"aten::_convolution": "aten::convolution", "aten::dropout": None}
    expected = []
    for scope, kind, sizes, places, inputs in drawn(theirs.graph(*make(torch))[0].node):
        if names.get(kind, kind) is not None:
            expected.append((scope, names.get(kind, kind), sizes, places, inputs))
    kinds = {"aten::view": "aten::flatten", "aten::reshape": "aten::flatten"}
    ours = [(scope, kinds.get(kind, kind), *rest) for scope, kind, *rest in ours]
    assert [o[:3] for o in ours] == [e[:3] for e in expected]
    if make is net:
        assert ours == expected


def test_parameters_inputs_and_outputs_are_nodes():
    model, inputs = net(core)
    nodes = {node.name: node for node in graph(model, inputs)[0].node}
    other = theirs.graph(*net(torch))[0].node
    assert {n for n in nodes if n.startswith("input/")} == {
        node.name for node in other if node.name.startswith("input/")
    }
    assert sum(node.op == "prim::GetAttr" for node in other) == sum(
        node.op == "prim::GetAttr" for node in nodes.values()
    )
    weight = nodes["Net/Sequential[body]/Linear[0]/weight"]
    assert weight.attr["attr"].s == b"{ name :  weight }"
    assert nodes["output/output.1"].input == ["Net/exp"]
    assert nodes["output/output.2"].input == ["Net/Sigmoid[act]/sigmoid"]
    assert all(name in nodes for node in nodes.values() for name in node.input)
