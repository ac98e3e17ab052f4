"""The many small ops that overhead.py measures: expressions of `v`, per tensor that `v` stands for.

Where that tensor requires grad, forward + backward is measured too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

POINTWISE = {
    "w": """
        v.sin() v.cos() v.abs() -v v.square() v.sigmoid() v.sign() v.erf() v.erfc() v.expm1()
        v.atan() v.sinh() v.floor() v.round() 2.0-v v**2 v.add(y,alpha=2) v+one v.clamp(-1.0,1.0)
        v.clamp(min=0.0) lib.maximum(v,y) lib.where(b,v,y) lib.where(b,v,0.0) v.masked_fill(b,0.0)
        lib.lerp(v,y,0.5) lib.addcmul(v,y,y) lib.atan2(v,y) v.clone() v.double()
        f.dropout(v,0.5,False)
    """,
    "p": """
        v.log() v.sqrt() v.rsqrt() v.reciprocal() v.log1p() v.log2() v.lgamma() v.digamma() 1/v
        v**y
    """,
    "u": "v.asin() v.acos() v.atanh() v.erfinv()",
    "i": """
        v+j v+1 v*j v-j v/j v//2 v%3 -v v.abs() v==j v==3 v<j v&3 v*2.0 v.float() v.sum()
        v.clone().add_(1)
    """,
    "y": """
        v>z v>0 lib.isnan(v) lib.isfinite(v) v.long() v.detach() v.shape lib.allclose(v,z)
        lib.equal(v,z) lib.zeros_like(v) lib.ones_like(v) v[0].item() lib.zeros(10)
        lib.tensor([1.0,2.0]) lib.arange(10)
    """,
    "b": "v&c ~v lib.logical_and(v,c) v.sum()",
    "z": """
        v.add_(y) v.mul_(1.0) v.zero_() v.fill_(1.0) v.copy_(y) v.addcmul_(y,y,value=0.1)
        v.clamp_(-1.0,1.0) v.masked_fill_(b,0.0) v.__setitem__(slice(2,4),0) v.__setitem__(2,0)
    """,
}
REDUCTIONS = {
    "m": """
        v.sum(1) v.sum(-1,keepdim=True) v.mean() v.mean(1) v.var() v.var(1) v.std() v.prod()
        v.prod(1) v.max() v.amax(1) v.max(1)[0] v.logsumexp(1) v.norm() v.norm(dim=1) v.cumsum(0)
        v.cumprod(0) v.sort(1)[0] v.topk(2)[0] v.median()
    """,
    "n": """
        v.argmax() v.argmax(1) v.argsort(1) v.all() v.any(1) lib.count_nonzero(v) lib.unique(v)
        v.nonzero() lib.searchsorted(steps,v)
    """,
}
ARRANGEMENT = {
    "m": """
        v.view(16) v.view(2,-1) v.flatten() v.transpose(0,1) v.T v.permute(1,0) v.unsqueeze(0)
        v[None].squeeze(0) v[:,:1].expand(4,4) v[1] v[1,2] v[:,1:3] v[None] v[...,0]
        v.narrow(0,1,2) v.select(0,1) v.chunk(2)[0] v.split(2)[1] v.unbind()[0] v.diagonal()
        v.t().contiguous() v[rows] v[mask] v.index_select(0,rows) v.gather(1,many)
        v.scatter(1,many,0.0) v.scatter_add(1,many,n) v.index_add(0,rows,n[:3]) lib.cat((v,n))
        lib.stack((v,n)) v.flip(0) v.roll(1,0) v.repeat(2,1) v.tril() f.pad(v,(1,1))
    """,
}
NETWORKS = {
    "m": """
        v.mm(k) v.mv(e) lib.addmm(e,v,k) lib.einsum("ij,jk->ik",v,k) f.linear(v,k,e)
        f.embedding(labels,v) v.softmax(-1) v.log_softmax(-1) f.layer_norm(v,(4,),e,e)
        f.cross_entropy(v,labels) f.nll_loss(v,labels) f.mse_loss(v,k) f.l1_loss(v,k)
        f.binary_cross_entropy_with_logits(v,k) f.gelu(v) f.silu(v) f.softplus(v) f.leaky_relu(v)
        f.elu(v) f.dropout(v,0.5,True) f.normalize(v)
    """,
    "d": "v.dot(e) lib.outer(v,e)",
    "t": "v@h v.bmm(h) f.scaled_dot_product_attention(v,v,v)",
    "labels": "f.one_hot(v,4)",
}
FAMILIES = (POINTWISE, REDUCTIONS, ARRANGEMENT, NETWORKS)


def tensors(lib: Any, vector: Callable[..., Any]) -> dict[str, Any]:
    """What the expressions name: tensors, the library and its functions of layers."""
    found = {"lib": lib, "f": lib.nn.functional, "y": vector(10), "z": vector(10), "e": vector(4)}
    found |= {"k": vector(4, 4), "n": vector(4, 4), "h": vector(2, 4, 4), "one": vector(1)[0]}
    found |= {"i": lib.arange(1, 11), "j": lib.arange(2, 12), "rows": lib.arange(3)}
    found |= {"many": lib.zeros(4, 4).long(), "labels": lib.arange(4), "steps": lib.arange(4.0)}
    found |= {"b": found["y"] > 0, "c": found["i"] > 4, "mask": found["n"] > 0}
    leaves = {"w": vector(10), "p": vector(10).abs() + 0.1, "u": vector(10).clamp(-0.9, 0.9)}
    leaves |= {"m": vector(4, 4), "d": vector(4), "t": vector(2, 4, 4)}
    return found | {name: x.requires_grad_() for name, x in leaves.items()}


def expressions(lib: Any, vector: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    """Each op as (its text, the tensor, a function of it)."""
    names = tensors(lib, vector)
    return [
        (text, names[leaf], eval(f"lambda v: {text}", dict(names)))
        for family in FAMILIES
        for leaf, texts in family.items()
        for text in texts.split()
    ]
