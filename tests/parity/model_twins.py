"""PyTorch's side of whole models: written as functions of a state with torchvision's keys."""

import torch
import torch.nn.functional as F


class State:
    """The entries of a state_dict below a prefix, as leaves of PyTorch's; which ones were read."""

    def __init__(self, leaves, prefix="", read=None):
        self.leaves, self.prefix = leaves, prefix
        self.read = {} if read is None else read

    def __call__(self, path):
        return State(self.leaves, f"{self.prefix}{path}.", self.read)

    def __getattr__(self, name):
        key = self.prefix + name
        self.read[key] = True
        return self.leaves[key]

    def __contains__(self, path):
        return any(key.startswith(f"{self.prefix}{path}.") for key in self.leaves)


def conv(x, s, **options):
    return F.conv2d(x, s.weight, s.bias if "bias" in dir_of(s) else None, **options)


def dir_of(s):
    return [key[len(s.prefix) :] for key in s.leaves if key.startswith(s.prefix)]


def norm(x, s, training):
    if training:
        s.num_batches_tracked.add_(1)
    return F.batch_norm(x, s.running_mean, s.running_var, s.weight, s.bias, training)


def resnet18(x, s, training):
    """Blocks of two convolutions, two in each of four stages."""
    x = F.relu(norm(conv(x, s("conv1"), stride=2, padding=3), s("bn1"), training))
    x = F.max_pool2d(x, 3, 2, 1)
    for stage in range(1, 5):
        for block in range(2):
            part = s(f"layer{stage}.{block}")
            stride = 2 if stage > 1 and block == 0 else 1
            out = conv(x, part("conv1"), stride=stride, padding=1)
            out = F.relu(norm(out, part("bn1"), training))
            out = norm(conv(out, part("conv2"), padding=1), part("bn2"), training)
            if "downsample" in part:
                down = part("downsample")
                x = norm(conv(x, down("0"), stride=stride), down("1"), training)
            x = F.relu(out + x)
    return F.linear(x.mean((2, 3)), s("fc").weight, s("fc").bias)


def mobilenet_v2(x, s, training):
    """Strides and residuals as in the paper's table 2."""
    strides = [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1]
    features = s("features")
    x = F.relu6(norm(conv(x, features("0.0"), stride=2, padding=1), features("0.1"), training))
    for i, stride in enumerate(strides, 1):
        part, out = features(f"{i}.conv"), x
        if i > 1:  # the first block does not widen
            out = F.relu6(norm(conv(out, part("0.0")), part("0.1"), training))
        at = 0 if i == 1 else 1
        deep, options = part(f"{at}.0"), {"stride": stride, "padding": 1}
        out = conv(out, deep, groups=out.shape[1], **options)
        out = F.relu6(norm(out, part(f"{at}.1"), training))
        out = norm(conv(out, part(f"{at + 1}")), part(f"{at + 2}"), training)
        x = x + out if stride == 1 and out.shape == x.shape else out
    x = F.relu6(norm(conv(x, features("18.0")), features("18.1"), training))
    last = s("classifier.1")
    return F.linear(x.mean((2, 3)), last.weight, last.bias)


def vit(x, s, training, patch, layers, heads):
    """Attention by its definition, head by head."""
    x = F.conv2d(x, s("conv_proj").weight, s("conv_proj").bias, stride=patch)
    x = x.flatten(2).transpose(1, 2)
    n, _, width = x.shape
    x = torch.cat([s.class_token.expand(n, 1, width), x], 1) + s("encoder").pos_embedding
    for i in range(layers):
        part = s(f"encoder.layers.encoder_layer_{i}")
        x = x + attended(layer_norm(x, part("ln_1")), part("self_attention"), heads)
        y = layer_norm(x, part("ln_2"))
        y = F.gelu(F.linear(y, part("mlp.0").weight, part("mlp.0").bias))
        x = x + F.linear(y, part("mlp.3").weight, part("mlp.3").bias)
    first = layer_norm(x, s("encoder.ln"))[:, 0]
    return F.linear(first, s("heads.head").weight, s("heads.head").bias)


def layer_norm(x, s):
    return F.layer_norm(x, x.shape[-1:], s.weight, s.bias, 1e-6)


def attended(x, s, heads):
    q, k, v = F.linear(x, s.in_proj_weight, s.in_proj_bias).chunk(3, -1)
    size = x.shape[-1] // heads
    outs = []
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        scores = q[..., part] @ k[..., part].transpose(1, 2) / size**0.5
        outs.append(scores.softmax(-1) @ v[..., part])
    return F.linear(torch.cat(outs, -1), s("out_proj").weight, s("out_proj").bias)
