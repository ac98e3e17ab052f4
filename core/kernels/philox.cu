// Philox4x64-10 (Salmon, Moraes, Dror & Shaw, 2011): word 4 i + j of the key (seed, 0) at the counter
// (first + 1 + i, offset, stream, plane). The bits are those of core/philox.py and of NumPy.
extern "C" __global__ void philox_words(
    unsigned long long* __restrict__ out, const long long blocks, const unsigned long long first,
    const unsigned long long seed, const unsigned long long offset,
    const unsigned long long stream, const unsigned long long plane)
{
  const long long stride = (long long)gridDim.x * blockDim.x;
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < blocks; i += stride) {
    unsigned long long c0 = first + 1 + i, c1 = offset, c2 = stream, c3 = plane;
    unsigned long long k0 = seed, k1 = 0;
    for (int round = 0; round < 10; round++) {
      const unsigned long long h0 = __umul64hi(0xD2E7470EE14C6C93ull, c0);
      const unsigned long long l0 = 0xD2E7470EE14C6C93ull * c0;
      const unsigned long long h1 = __umul64hi(0xCA5A826395121157ull, c2);
      const unsigned long long l1 = 0xCA5A826395121157ull * c2;
      c0 = h1 ^ c1 ^ k0;
      c1 = l1;
      c2 = h0 ^ c3 ^ k1;
      c3 = l0;
      k0 += 0x9E3779B97F4A7C15ull;
      k1 += 0xBB67AE8584CAA73Bull;
    }
    out[4 * i] = c0;
    out[4 * i + 1] = c1;
    out[4 * i + 2] = c2;
    out[4 * i + 3] = c3;
  }
}
