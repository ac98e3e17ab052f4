"""Wrong input raises the type of exception that PyTorch raises; what is right nearby returns.

A line is an expression of a module `m`, of tensors X (2, 3, 4), M (2, 3) and V (3,), of integers I
(2,) and bools B (2,), and of L(), a leaf (2, 3).
"""

import warnings

import pytest

torch = pytest.importorskip("torch", reason="the oracle: pip install unison-ddp[parity]")

import core  # noqa: E402 - after the skip

EXPRESSIONS = """
X.sum(5)
X.sum((0,0))
X.mean(-4)
X.max(3)
X.argmax(7)
X.softmax(9)
X.cumsum(3)
X.sort(3)
X.topk(9)
X.topk(1,5)
X.kthvalue(9)
X.unsqueeze(5)
X.squeeze(4)
X.transpose(0,4)
X.permute(0,1)
X.permute(0,0,1)
X.permute(0,1,5)
X.view(5,5)
X.view(-1,-1)
X.reshape(7,-1)
X.reshape(-2)
X.expand(2,3,5)
X.expand(3,4)
X.flatten(2,1)
X.unflatten(1,(2,2))
X.select(3,0)
X.select(0,2)
X.narrow(0,1,2)
X.narrow(0,0,-1)
X.unfold(0,3,1)
X.unfold(0,1,0)
X.split(0)
X.split((1,3),0)
X.chunk(0)
X.diagonal(0,0,0)
X.movedim(0,5)
X.swapaxes(0,5)
X.flip(3)
X.flip(0,0)
X.roll(1,3)
X.repeat(2)
X.tile((2,2))
X.t()
X.mT.mT.H
V.mT
X[2]
X[0,0,0,0]
X[:,5]
X[m.tensor([2])]
X[m.tensor([0.5])]
X[m.tensor([True])]
X["a"]
X[1.5]
X[::-1]
X[::0]
X[[0,5]]
X[None,9]
X[m.tensor([[0,9]])]
m.cat([M,X])
m.cat([])
m.cat([M,V])
m.cat([M,M],2)
m.cat([M,3])
m.stack([M,V])
m.stack([])
m.stack([M,M],4)
m.hstack([M,X])
m.vstack([M,X])
m.dstack([])
m.cat(M)
m.cat([M.double(),M.long()]).dtype
m.block_diag(X)
m.meshgrid(X,M)
m.cartesian_prod(M)
M+m.ones(4)
M*m.ones(2,4)
M@M
M@V@V@V
V@m.ones(4)
X@m.ones(5,4,2)
X@m.ones(3,3)
M@M.T.long()
m.mm(X,M)
m.mm(M,M)
m.bmm(M,M)
m.bmm(X,X)
m.mv(M,M)
m.mv(M,m.ones(2))
m.dot(M,M)
m.dot(V,m.ones(4))
m.dot(V,V.long())
m.addmm(M,M,M)
m.outer(M,V)
m.einsum('ij,jk',M,M)
m.einsum('i',M)
m.einsum('ij->ii',M)
m.einsum('ij->k',M)
m.tensordot(M,M,1)
m.cross(M,m.ones(2,2))
m.linalg.inv(M)
m.linalg.inv(m.zeros(2,2))
m.linalg.cholesky(-m.eye(2))
m.linalg.solve(m.zeros(2,2),m.ones(2))
m.linalg.det(V)
m.linalg.qr(M,'x')
m.linalg.svd(V)
m.trace(X)
m.kron(M,3)
M.matmul(3)
M@3
m.linalg.inv(m.eye(2).long())
m.linalg.eigh(M)
m.linalg.matrix_power(M,2)
m.linalg.norm(X,'fro')
m.linalg.norm(M,'x')
m.linalg.vector_norm(M.long())
m.linalg.multi_dot([M])
M.backward()
L().backward()
m.autograd.grad(L().sum(),M)
m.autograd.grad(L(),L())
m.ones(2,dtype=m.int64,requires_grad=True)
I.requires_grad_()
L().sum().backward(m.ones(2))
L().backward(m.ones(3))
L().exp().numpy()
L().numpy()
L().add_(1)
L()[0].mul_(2)
L().sum().backward(inputs=[])
(L()*1).requires_grad_(False)
L().exp().detach_().grad_fn
L().retain_grad()
M.retain_grad()
M.register_hook(print)
m.autograd.grad([],[])
m.autograd.grad(L().sum(),[])
m.autograd.backward([L()],[None])
m.autograd.grad(L().sum()*1,L(),allow_unused=True)
I+B
I-B
B-B
-B
~M
M&M
I<<M
I//0
I%0
m.div(M,M,rounding_mode='x')
I**-1
I.float()**-1
m.add(I,I,alpha=.5)
m.clamp(M)
M.mean('a')
I.mean()
I.std()
I.softmax(0)
I.exp().dtype
I.sqrt().dtype
B.sum().dtype
B.mean()
I.norm()
I.median()
B.median()
B.max()
B.argmax()
I.float().quantile(2.)
I.quantile(.5)
M.quantile(m.tensor([.5],dtype=m.float64))
M.masked_fill(I,0)
M.masked_fill(B,0)
M.masked_select(I)
M.masked_fill(M>1,M)
m.where(I,M,M)
m.where(M>1,M,m.ones(4))
M.gather(0,M)
M.gather(0,I)
M.gather(0,m.tensor([[5]]))
M.gather(2,m.tensor([[0]]))
M.scatter(0,m.tensor([[5]]),1.)
M.scatter(0,m.tensor([[0]]),M.double())
M.scatter(0,M,M)
M.index_select(0,m.tensor([5]))
M.index_select(2,I)
M.index_select(0,M)
M.index_select(0,m.zeros(1,1).long())
M.index_add(0,I,V)
M.index_add(0,I,M.double())
M.index_fill(0,m.tensor([7]),1.)
M.take(m.tensor([9]))
M.take(M)
M.take_along_dim(I,0)
M.put_(I,V)
M.index_put((I,),M.double())
M.scatter_reduce(0,I[None],M,'x')
m.bincount(m.tensor([-1]))
m.bincount(M)
m.histc(M,bins=0)
m.searchsorted(M,X)
m.bucketize(M,M)
m.one_hot(I)
m.nn.functional.one_hot(m.tensor([3]),2)
m.nn.functional.one_hot(M)
M.tril_indices(2)
m.tril_indices(-1,2)
m.eye(-1)
m.arange(3,0)
m.arange(0,3,0)
m.linspace(0,1,-1)
m.zeros(-1)
m.ones(2,'a')
m.full((2,),'a')
m.randint(5,2,(2,))
m.randperm(-1)
m.normal(0.,-1.,(2,))
m.tensor([[1],[2,3]])
m.tensor('a')
m.tensor([None])
m.tensor([1,'a'])
m.multinomial(-V,1)
m.multinomial(V,9)
m.bernoulli(V)
V.bernoulli_(2.)
V.uniform_(3,2)
V.normal_(0,-1)
V.exponential_(-1)
V.random_(3,2)
m.rand(2,3,dtype=m.int64)
M.to('x')
M.type('x')
M.view(m.int64)
V.view(m.float16).dtype
M.item()
M.tolist()
bool(M)
int(M)
len(m.tensor(1))
iter(m.tensor(1))
M.stride(5)
M.size(3)
M.is_contiguous(memory_format=m.channels_last)
M.copy_(m.ones(5))
M.copy_(3)
M.fill_(M)
M.add_(m.ones(3,3,3))
I.add_(1.5)
I.mul_(M[0,:2])
M.expand(2,2,3).add_(1)
M.resize_(-1)
M.unsqueeze_(4)
m.as_strided(M,(9,9),(1,1))
m.as_strided(M,(2,),(-1,))
M.data_ptr(2)
M[5]==1
M.__setitem__(5,1)
M.__setitem__((0,0,0),1)
M.__setitem__(0,m.ones(5))
M.__setitem__(I,M.double())
M.__setitem__(M>1,m.ones(9))
M.__setitem__('a',1)
m.broadcast_tensors(M,m.ones(4))
m.broadcast_shapes((2,),(3,))
m.promote_types(m.int8,3)
m.isclose(M,M.double())
m.allclose(M,I)
m.equal(M,3)
m.searchsorted(V,V,side='x')
m.unique(M,dim=5)
m.lerp(M,M.double(),.5)
m.addcdiv(I,I,I)
m.polygamma(-1,V)
m.cdist(V,V)
m.cdist(M,m.ones(2,2))
m.diag(X)
m.diag_embed(V,0,0,0)
m.tril(V)
m.rot90(V)
m.rot90(M,1,(0,0))
m.fliplr(V)
m.cov(X)
m.logcumsumexp(I,0)
m.prod(M,(0,1))
m.std(M,5)
m.var(I)
m.mode(M,4)
m.median(M,4)
m.norm(M,'x')
m.dist(M,m.ones(5))
m.chain_matmul(M,M)
m.repeat_interleave(M,-1)
m.repeat_interleave(V,m.tensor([1,2]))
m.unbind(M,4)
m.tensor_split(M,0)
m.hsplit(M,2)
m.dsplit(M,1)
m.vsplit(V,1)
m.gcd(M,M)
m.lcm(B,B)
m.bitwise_and(M,M)
m.heaviside(M,M.double())
m.sigmoid(input=M,x=1)
m.exp()
m.exp(M,M)
m.sum(M,dim=0,foo=1)
m.add(M)
m.relu(B)
m.neg(B)
m.abs(B)
m.sign(B).dtype
m.floor(B)
m.erfinv(I).dtype
m.finfo(m.int64)
m.iinfo(m.float32)
m.set_default_dtype(m.int64)
m.device('x')
m.device('cpu',-2)
m.manual_seed('a')
m.Generator('x')
X[...,...]
X[...,0,...]
m.nan_to_num(X,'a')
m.nan_to_num(X,nan='a')
m.histogram(X,None)
m.histogram(X,'a')
m.zeros(2,dtype='float')
X.fill_('a')
X.index_copy(0,I,m.zeros(1,3,4))
X.index_copy(0,I,m.zeros(2,4))
"""


def outcome(m, expression):
    given = {
        "m": m,
        "X": m.arange(24.0).view(2, 3, 4),
        "M": m.arange(6.0).view(2, 3),
        "V": m.arange(3.0),
        "I": m.tensor([0, 1]),
        "B": m.tensor([True, False]),
        "L": lambda: m.ones(2, 3, requires_grad=True),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = eval(expression, given)
        except Exception as error:
            return error
    if hasattr(found, "stride"):
        return repr(found.dtype).split(".")[-1], tuple(found.shape)
    return repr(found).split(".")[-1] if isinstance(found, (m.dtype, bool, int)) else None


@pytest.mark.parametrize("expression", EXPRESSIONS.strip().splitlines())
def test_wrong_input(expression):
    expected, actual = outcome(torch, expression), outcome(core, expression)
    if isinstance(expected, Exception):
        kind = next(c for c in type(expected).__mro__ if c.__module__ == "builtins")
        assert isinstance(actual, kind), f"{expected!r}, here {actual!r}"
        assert str(actual)
    else:
        assert actual == expected
