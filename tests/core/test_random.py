"""Laws of the counter-based generator: known answers, one definition, keys, distributions."""

import copy
import threading

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import core
from core import philox, random

U64 = st.integers(0, 2**64 - 1)
KEY = random.Key(seed=11, stream=2, offset=5)

# Random123 1.14, tests/kat_vectors, "philox4x64 10".
KNOWN_ANSWERS = [
    ([0] * 4, [0] * 2, "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b"),
    (
        [2**64 - 1] * 4,
        [2**64 - 1] * 2,
        "87b092c3013fe90b 438c3c67be8d0224 9cc7d7c69cd777b6 a09caebf594f0ba0",
    ),
    (
        [0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89],
        [0x452821E638D01377, 0xBE5466CF34E90C6C],
        "a528f45403e61d95 38c72dbd566e9788 a5a1610e72fd18b5 57bd43b5e52b7fe6",
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_definition_gives_the_published_answers(counter, key, answer):
    words = philox.philox(numpy.array([counter], numpy.uint64), key)
    assert [f"{word:016x}" for word in words[0].tolist()] == answer.split()


@settings(deadline=None, max_examples=50)
@given(U64, U64, U64, st.integers(0, 2**63), st.sampled_from([0, 1]), st.integers(1, 9))
def test_fast_words_equal_the_definition_bit_for_bit(seed, stream, offset, first, plane, blocks):
    key = random.Key(seed, stream, offset)
    fast = philox.words(key, blocks, first, plane)
    numpy.testing.assert_array_equal(fast, philox.array_words(key, blocks, first, plane))


class OtherArrays:
    """NumPy under another name: takes the path of an array module without a C generator."""

    __name__ = "other"

    def __getattr__(self, name):
        return getattr(numpy, name)


DRAWS = {
    "bits": lambda key, n, **k: random.bits(key, n, **k),
    "uniform": lambda key, n, **k: random.uniform(key, n, **k),
    "uniform64": lambda key, n, **k: random.uniform(key, n, "float64", -2.0, 3.0, **k),
    "normal": lambda key, n, **k: random.normal(key, n, **k),
    "normal64": lambda key, n, **k: random.normal(key, n, "float64", 1.0, 0.5, **k),
    "exponential": lambda key, n, **k: random.exponential(key, n, **k),
    "integers": lambda key, n, **k: random.integers(key, n, -5, 1000, **k),
    "bernoulli": lambda key, n, **k: random.bernoulli(key, n, 0.3, **k),
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("n", [0, 1, 7, 70_001])
def test_every_array_module_and_chunking_gives_the_same_values(name, n):
    one_pass = DRAWS[name](KEY, n, xp=OtherArrays())
    numpy.testing.assert_array_equal(DRAWS[name](KEY, n), one_pass)


@pytest.mark.parametrize("name", DRAWS)
def test_a_shorter_draw_is_the_beginning_of_a_longer_one(name):
    longer = DRAWS[name](KEY, 40_003)
    numpy.testing.assert_array_equal(DRAWS[name](KEY, 35_002), longer[:35_002])


def test_accelerated_words_are_used():
    class Accelerated(OtherArrays):
        __name__ = "accelerated"

    asked = []

    def source(key, blocks, first, plane):
        asked.append((key, blocks, first, plane))
        return numpy.arange(4 * blocks, dtype=numpy.uint64)

    philox.accelerate("accelerated", source)
    assert random.bits(KEY, 3, xp=Accelerated()).tolist() == [0, 1, 2]
    assert asked == [(KEY, 1, 0, 0)]


# ---- distributions ----


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_uniform_stays_below_high_and_has_its_moments(dtype):
    values = random.uniform(KEY, (200, 500), dtype)
    assert values.dtype == dtype and values.shape == (200, 500)
    assert 0 <= values.min() and values.max() < 1
    exact = values.astype("float64")
    assert abs(exact.mean() - 0.5) < 4 * (1 / 12 / exact.size) ** 0.5 + 2.0**-11
    assert abs(exact.var() - 1 / 12) < 0.002


@given(st.floats(-1e6, 1e6, width=32), st.floats(2.0**-10, 1e6, width=32))
@settings(deadline=None, max_examples=50)
def test_uniform_never_reaches_high(low, width):
    high = float(numpy.float32(low + width))
    if high > low:
        values = random.uniform(KEY, 5000, "float32", low, high)
        assert low <= values.min() and values.max() < high


def test_uniform_bits_are_the_top_bits_of_the_lanes():
    lanes = random.bits(KEY, 2).view("uint32")
    expected = [(lane >> 8) / 2**24 for lane in lanes.tolist()]
    assert random.uniform(KEY, 4).tolist() == expected


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_normal_has_its_moments_and_tails(dtype):
    values = random.normal(KEY, 400_000, dtype, mean=2.0, std=0.5)
    assert values.dtype == dtype
    z = (values.astype("float64") - 2.0) / 0.5
    assert abs(z.mean()) < 4 / z.size**0.5
    assert abs(z.var() - 1) < 4 * (2 / z.size) ** 0.5 + 1e-3
    assert abs((z**3).mean()) < 0.02 and abs((z**4).mean() - 3) < 0.06
    assert 4.0 < abs(z).max() < 7.0
    for quantile, share in [(-1.0, 0.158655), (1.96, 0.975002), (3.0, 0.998650)]:
        assert abs((z < quantile).mean() - share) < 5 * (share * (1 - share) / z.size) ** 0.5 + 2e-3


def test_normal_is_the_definition_of_box_and_muller():
    u = (random.bits(KEY, 2).view("uint32").astype("float64") + 0.5) / 2**32
    radius, angle = (-2 * numpy.log(u[0::2])) ** 0.5, 2 * numpy.pi * u[1::2]
    expected = numpy.stack([radius * numpy.cos(angle), radius * numpy.sin(angle)], 1).reshape(-1)
    numpy.testing.assert_allclose(random.normal(KEY, 4), expected, rtol=1e-5)


def test_exponential_is_positive_with_mean_one_over_rate():
    values = random.exponential(KEY, 100_000, "float64", rate=4.0)
    assert values.min() > 0
    assert abs(values.mean() - 0.25) < 4 * 0.25 / values.size**0.5


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [(0, 10, "int64"), (-3, 4, "int8"), (0, 2, "uint8"), (2**62, 2**62 + 5, "int64")],
)
def test_integers_are_equally_likely(low, high, dtype):
    values = random.integers(KEY, 40_000, low, high, dtype)
    assert values.dtype == dtype
    counts = numpy.bincount(values.astype("int64") - low, minlength=high - low)
    expected = 40_000 / (high - low)
    assert counts.size == high - low
    assert abs(counts - expected).max() < 5 * expected**0.5


@given(st.integers(-(2**63), 2**63 - 1), st.integers(1, 2**64) | st.integers(1, 2**32 + 1))
@settings(deadline=None)
def test_integers_are_the_high_word_of_the_product(low, span):
    high = min(low + span, 2**63 if low < 0 else 2**64)
    dtype = "int64" if low < 0 else "uint64"
    expected = [low + (word * (high - low) >> 64) for word in random.bits(KEY, 5).tolist()]
    assert random.integers(KEY, 5, low, high, dtype).tolist() == expected


def test_integers_refuse_an_empty_range():
    with pytest.raises(ValueError, match="low=3 and high=3"):
        random.integers(KEY, 2, 3, 3)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.25, 0.5, 0.9, 1e-6, 1 - 2.0**-20, 1.0])
def test_bernoulli_has_its_share(p):
    mask = random.bernoulli(KEY, (1000, 1000), p)
    assert mask.dtype == bool and mask.shape == (1000, 1000)
    assert abs(mask.mean() - p) <= 5 * (p * (1 - p) / mask.size) ** 0.5 + 1e-12


def test_bernoulli_ties_are_decided_by_the_second_plane():
    lanes = random.bits(KEY, 50_000).view("uint16")
    second = philox.words(KEY, 25_000, plane=1).view("uint32")
    exact = (lanes.astype("uint64") << numpy.uint64(32)) | second
    threshold = round(0.3 * 2**48)
    numpy.testing.assert_array_equal(random.bernoulli(KEY, 200_000, 0.3), exact < threshold)
    assert (lanes == threshold >> 32).sum() > 0


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_bernoulli_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        random.bernoulli(KEY, 3, p)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 64, 1000])
def test_permutation_holds_every_number_once(n):
    assert sorted(random.permutation(KEY, n).tolist()) == list(range(n))


def test_all_permutations_are_equally_likely():
    counts: dict[tuple, int] = {}
    for offset in range(6000):
        order = tuple(random.permutation(random.Key(0, 0, offset), 3).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    assert max(abs(count - 1000) for count in counts.values()) < 150


def test_random_floats_need_a_floating_dtype():
    with pytest.raises(TypeError, match="not for int32"):
        random.uniform(KEY, 3, "int32")


# ---- generators ----


def test_a_key_is_never_handed_out_twice_and_can_be_replayed():
    generator = random.Generator().manual_seed(3)
    keys = [generator.reserve() for _ in range(5)]
    assert keys == [random.Key(3, 0, offset) for offset in range(5)]
    draws = [random.uniform(key, 8).tolist() for key in keys]
    assert len({tuple(draw) for draw in draws}) == 5
    assert [random.uniform(key, 8).tolist() for key in reversed(keys)] == draws[::-1]


def test_state_round_trips():
    generator = random.Generator().manual_seed(2**64 - 1)
    generator.stream = 4
    generator.reserve()
    other = random.Generator().set_state(generator.get_state())
    for twin in (other, generator.clone(), copy.deepcopy(generator)):
        assert twin.reserve() == random.Key(2**64 - 1, 4, 1)
    assert generator.offset == 1


@pytest.mark.parametrize("state", [numpy.zeros(23, "uint8"), numpy.zeros(24), numpy.zeros((1, 24))])
def test_a_wrong_state_is_refused(state):
    with pytest.raises(ValueError, match=r"uint8 of shape \(24,\)"):
        random.Generator().set_state(state)


def test_seeds_are_64_bits_and_negative_ones_wrap():
    assert random.Generator().manual_seed(-1).initial_seed() == 2**64 - 1
    assert random.Generator().initial_seed() == random.Generator().initial_seed()
    with pytest.raises(ValueError, match="from -2\\*\\*63"):
        random.Generator().manual_seed(2**64)
    generator = random.Generator()
    assert generator.seed() == generator.initial_seed() != random.DEFAULT_SEED


def test_an_installed_generator_is_the_default_of_its_thread_only():
    mine, seen = random.Generator(), []
    with random.using(mine) as installed:
        assert installed is mine and random.default_generator() is mine
        thread = threading.Thread(target=lambda: seen.append(random.default_generator()))
        thread.start()
        thread.join()
        with random.using(random.Generator()) as inner:
            assert random.default_generator() is inner
        assert random.default_generator() is mine
    assert seen == [random.default_generator()] and seen[0] is not mine


def test_threads_draw_independently():
    expected = random.bits(KEY, 1000).tolist()
    seen: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: seen.append(random.bits(KEY, 1000).tolist()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [expected] * 4


def test_stream_changes_the_stream_and_nothing_else():
    with random.using(random.Generator().manual_seed(1)) as generator:
        generator.reserve()
        with random.stream(3):
            assert random.default_generator().reserve() == random.Key(1, 3, 1)
        assert generator.reserve() == random.Key(1, 0, 2)


def test_fork_rng_leaves_no_trace():
    with random.using(random.Generator()):
        random.manual_seed(5)
        before = random.get_rng_state()
        with random.fork_rng():
            random.seed()
            random.default_generator().reserve()
        assert (random.get_rng_state() == before).all() and random.initial_seed() == 5
        with random.fork_rng(enabled=False):
            random.default_generator().reserve()
        assert random.default_generator().offset == 1
        random.set_rng_state(before)
        assert random.default_generator().offset == 0


def test_what_is_drawn_like_a_tensor_is_what_is_drawn_in_its_shape():
    x = core.zeros(2, 3)
    for name, more in (("rand", ()), ("randn", ()), ("randint", (0, 1000))):
        core.manual_seed(5)
        like = getattr(core, f"{name}_like")(x, *more)
        core.manual_seed(5)
        drawn = getattr(core, name)(*more, (2, 3))
        assert like.tolist() == drawn.tolist() and like.any()
