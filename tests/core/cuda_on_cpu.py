"""Runs a kernel of CUDA C on the CPU: g++ compiles the same source, threads run one after another.

For kernels without barriers and warp operations, which one thread at a time cannot do.
"""

import ctypes
import re
import subprocess

PRELUDE = """
#include <cstdint>
#define __global__
#define __restrict__ __restrict
struct Three { unsigned x, y, z; };
static Three threadIdx, blockIdx, blockDim, gridDim;
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
"""
LAUNCH = """
extern "C" void launch_{name}(unsigned groups, unsigned threads, {parameters}) {{
  gridDim = {{groups, 1, 1}};
  blockDim = {{threads, 1, 1}};
  for (unsigned b = 0; b < groups; b++)
    for (unsigned t = 0; t < threads; t++) {{
      blockIdx = {{b, 0, 0}};
      threadIdx = {{t, 0, 0}};
      {name}({names});
    }}
}}
"""


def compiled(source, name, folder):
    """A function launch(groups, threads, *arguments) of the kernel; pointers are addresses."""
    found = re.search(rf"__global__ void {name}\((.*?)\)", source, re.S)
    parameters = " ".join(found.group(1).split())
    names = ", ".join(re.findall(r"(\w+)(?:,|$)", parameters))
    code = PRELUDE + source + LAUNCH.format(name=name, parameters=parameters, names=names)
    (folder / "kernel.cpp").write_text(code)
    library = folder / "kernel.so"
    command = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-o", library, folder / "kernel.cpp"]
    subprocess.run(command, check=True)
    function = ctypes.CDLL(str(library))[f"launch_{name}"]
    kinds = [ctypes.c_void_p if "*" in p else ctypes.c_longlong for p in parameters.split(",")]
    kinds = [
        ctypes.c_ulonglong if k is not ctypes.c_void_p and "unsigned" in p else k
        for k, p in zip(kinds, parameters.split(","), strict=True)
    ]
    function.argtypes = [ctypes.c_uint, ctypes.c_uint, *kinds]
    function.restype = None
    return function
