"""What is the most memory and time that a request can cost the model server?

    python -m benchmarks.server_fuzz --requests 100000 --minutes 90
    python -m benchmarks.server_fuzz --requests 2000 --minutes 2 --without-network

A real server with ResNet50 (random weights, the pipeline's preparation of pictures) is sent
requests over gRPC and REST, some of them eight at a time. The first are those that once killed the
server. Each of the others is a change of one that was rewarded: for the memory that it took, for
its time, or for an answer that none had before. What takes long is asked as often as `--minutes`
let it, and between are small ones that are quick. Told are the peak, every answer's code, and the
dearest requests. Ends with 1 if the server ended, took more than 4 GiB, or had an error of its own.
"""

import argparse
import base64
import gzip
import http.client
import json
import random
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import grpc

from model_server import ServerProcess
from model_server.process import free_port
from signs import features, protos
from tests import bombs

SERVING_DEFAULT = features.SERVING_DEFAULT
MODEL = "fuzzed"
SIZE = 64
LIMIT_MIB = 4096
DEADLINE_S = 60.0
LARGEST_BYTES = 2**27  # twice what the server takes
KEPT = 100
CHILDREN = 20  # of a request: what is known to be dear is not asked for ever
AT_ONCE = 8
SHARE_AT_ONCE = 0.01
NUMBER = re.compile(r"\d[\d,.]*")
OK = 200
BUG = "Internal error"
PREDICT = "/tensorflow.serving.PredictionService/Predict"
CLASSIFY = "/tensorflow.serving.PredictionService/Classify"


@dataclass(frozen=True)
class Recipe:
    """How a request is made.

    Args:
        api: grpc, classify (over gRPC) or rest.
        signature: of the model.
        picture: a key of PICTURES.
        width: of the picture.
        height: of the picture.
        sent: how many pictures are sent.
        declared: how many more a tensor says that there are.
        filler: bytes beside the picture.
        damage: seed of a change of the request's bytes; 0 for none.
        gzipped: whether a REST body is.
    """

    api: str = "grpc"
    signature: str = features.SERVE_IMAGES
    picture: str = "png"
    width: int = 8
    height: int = 8
    sent: int = 1
    declared: int = 0
    filler: int = 0
    damage: int = 0
    gzipped: bool = False


PICTURES: dict[str, Callable[[int, int], bytes]] = {
    "png": lambda width, height: bombs.png(width, height),
    "png header": lambda width, height: bombs.png(width, height, data=b""),
    "png texts": lambda width, height: bombs.png(8, 8, bombs.png_texts(1 + width % 12)),
    "gif": lambda width, height: bombs.gif((min(width, 9000), min(height, 9000))),
    "gif frames": lambda width, height: bombs.gif(*[(3000, 3000)] * (1 + width % 50)),
    "bmp": lambda width, height: bombs.bmp(width, -height) + bytes(min(width * height, 2**20)),
    "jpeg": lambda width, height: bombs.jpeg(width % 65_500 + 1, height % 65_500 + 1),
    "jpeg scans": lambda width, height: bombs.jpeg_of_scans(min(7000, width), 1 + height % 200),
    "nothing": lambda width, height: b"",
    "commas": lambda width, height: b"",
    "fields": lambda width, height: b"",
}
SEEDS = [
    Recipe(declared=3_000_000, filler=7_800),
    Recipe(width=22_000, height=22_000),
    # The length of a string in an Example becomes one of more than 31 bits.
    Recipe("grpc", SERVING_DEFAULT, "jpeg", 50, 1000, 3, filler=12, damage=1_806_730_746),
    Recipe(width=7_000, height=7_000, sent=16),
    Recipe(width=7_000, height=7_000, signature=SERVING_DEFAULT, sent=4),
    Recipe(api="classify", width=7_000, height=7_000, sent=4),
    Recipe(api="classify", picture="fields", sent=2_000_000),
    Recipe(picture="fields", sent=2_000_000),
    Recipe(picture="png texts", width=11),
    Recipe(picture="gif frames", width=40),
    Recipe(picture="jpeg scans", width=7_000, height=150),
    Recipe(picture="jpeg", width=65_000, height=700),
    Recipe(sent=1_000),
    Recipe(sent=20_000),
    Recipe(api="rest", sent=1_000),
    Recipe(api="rest", width=7_000, height=7_000, sent=8),
    Recipe(api="rest", picture="commas", sent=5_000_000),
    Recipe(api="rest", picture="commas", sent=30_000_000, gzipped=True),
]


# --- A recipe becomes a request -------------------------------------------------------------------

_made: dict[tuple[str, int, int], bytes] = {}


def picture(recipe: Recipe) -> bytes:
    """The picture of a recipe; those made before are kept, for making them takes long."""
    key = (recipe.picture, _rounded(recipe.width), _rounded(recipe.height))
    if key not in _made:
        if len(_made) > 500:
            _made.clear()
        _made[key] = PICTURES[recipe.picture](*key[1:])
    return _made[key] + bytes(recipe.filler)


def _rounded(size: int) -> int:
    """To three binary digits: sizes that differ by less cost the same, and were made before."""
    rest = max(0, size.bit_length() - 3)
    return size >> rest << rest


def example(image: bytes) -> protos.Example:
    """A tf.Example of a picture."""
    made = protos.Example()
    made.features.feature[features.IMAGE].bytes_list.value.append(image)
    return made


def method_of(recipe: Recipe) -> str:
    """The RPC that is called."""
    return CLASSIFY if recipe.api == "classify" else PREDICT


def message(recipe: Recipe) -> bytes:
    """A serialized request."""
    image = picture(recipe)
    if recipe.api == "classify":
        request = protos.ClassificationRequest(
            model_spec={"name": MODEL, "signature_name": features.CLASSIFY}
        )
        one = protos.Example() if recipe.picture == "fields" else example(image)
        for _ in range(recipe.sent):
            request.input.example_list.examples.append(one)
        return request.SerializeToString()
    request = protos.PredictRequest(model_spec={"name": MODEL, "signature_name": recipe.signature})
    is_images = recipe.signature == features.SERVE_IMAGES
    tensor = request.inputs[features.IMAGES_INPUT if is_images else features.EXAMPLES_INPUT]
    tensor.dtype = protos.DataType.DT_STRING
    if recipe.picture == "fields":
        for _ in range(recipe.sent):
            tensor.tensor_shape.dim.add()
    else:
        tensor.tensor_shape.dim.add(size=recipe.sent + recipe.declared)
        string = image if is_images else example(image).SerializeToString()
        tensor.string_val.extend([string] * recipe.sent)
    return request.SerializeToString()


def body(recipe: Recipe) -> bytes:
    """What is posted over REST."""
    if recipe.picture == "commas":
        text = '{"instances": [' + "1," * recipe.sent + "1]}"
    else:
        encoded = {"b64": base64.b64encode(picture(recipe)).decode()}
        document = {"signature_name": recipe.signature, "instances": [encoded] * recipe.sent}
        text = json.dumps(document)
    return gzip.compress(text.encode(), 1) if recipe.gzipped else text.encode()


def damaged(data: bytes, seed: int) -> bytes:
    """Some bytes changed; how, the seed says."""
    if not seed or not data:
        return data
    rng, changed = random.Random(seed), bytearray(data)
    for _ in range(rng.choice((1, 2, 8))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def changed(recipe: Recipe, rng: random.Random) -> Recipe:
    """One thing is another."""

    def number(value: int, most: int) -> int:
        factor = rng.choice((0.5, 0.9, 1.1, 2, 10))
        return max(0, min(most, rng.choice((int(value * factor), value + 1, rng.randrange(most)))))

    match rng.randrange(9):
        case 0:
            return replace(recipe, api=rng.choice(("grpc", "classify", "rest")))
        case 1:
            names = (features.SERVE_IMAGES, SERVING_DEFAULT)
            return replace(recipe, signature=rng.choice(names))
        case 2:
            return replace(recipe, picture=rng.choice(sorted(PICTURES)))
        case 3:
            return replace(recipe, width=max(1, number(recipe.width, 30_000)))
        case 4:
            return replace(recipe, height=max(1, number(recipe.height, 30_000)))
        case 5:
            # A thousand rows take ResNet50 ten seconds.
            most = rng.choice((20, 20, 20, 20, 1_200, 300_000))
            return replace(recipe, sent=max(1, number(recipe.sent, most)))
        case 6:
            return replace(recipe, declared=number(recipe.declared, 10**7))
        case 7:
            return replace(recipe, filler=number(recipe.filler, 10**6))
        case _:
            return replace(recipe, damage=rng.randrange(2**31), gzipped=rng.random() < 0.3)


@dataclass(frozen=True)
class Found:
    """What a recipe's request cost, or that it was not sent.

    Args:
        recipe: how it was made.
        mib: of peak memory, beyond what the server had.
        seconds: from making it until all its answers were there.
        seconds_each: until an answer was there, by how many there were.
        is_new: whether an answer was one that none had before, but for its numbers.
    """

    recipe: Recipe
    mib: int = 0
    seconds: float = 0.0
    seconds_each: float = 0.0
    is_new: bool = False

    @property
    def cost(self) -> float:
        """A second is as dear as twenty MiB."""
        return self.mib + 20 * self.seconds_each


def modest(recipe: Recipe) -> Recipe:
    """The same in small: what costs then is how it is read and refused."""
    return replace(
        recipe,
        width=min(recipe.width, 1_000),
        height=min(recipe.height, 1_000),
        sent=min(recipe.sent, 3),
        declared=min(recipe.declared, 10_000),
    )


# --- The server, and what it answers --------------------------------------------------------------


def export(folder: Path, *, with_network: bool) -> None:
    """ResNet50 behind the pipeline's preparation of pictures, with the signatures of a model.

    Without a network the mean of each colour is the answer.
    """
    import tensorflow as tf

    from modules.example_limits import well_formed
    from modules.network import ResNet50, logits_of
    from modules.preprocessing import prepare_images

    network = ResNet50((SIZE, SIZE, 3), 6) if with_network else None
    logits = logits_of(network) if network else lambda images: tf.reduce_mean(images, [1, 2])

    class Model(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = [weight.value for weight in network.weights] if network else []

        def _answer(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
            scores = tf.nn.softmax(logits(prepare_images(images, SIZE)))
            return {features.SCORES: scores}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.IMAGES_INPUT)])
        def serve_images(self, image_bytes):
            return self._answer(image_bytes)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.EXAMPLES_INPUT)])
        def serving_default(self, examples):
            spec = {features.IMAGE: tf.io.FixedLenFeature([], tf.string)}
            return self._answer(tf.io.parse_example(well_formed(examples), spec)[features.IMAGE])

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.CLASSIFY_INPUT)])
        def classify(self, inputs):
            return self.serving_default(inputs)

    model = Model()
    names = (features.SERVE_IMAGES, SERVING_DEFAULT, features.CLASSIFY)
    signatures = {name: getattr(model, name) for name in names}
    tf.saved_model.save(model, str(folder), signatures=signatures)


class Fuzzed:
    """A server that is asked, and watched.

    Args:
        server: the running server.
        rest_port: where its REST API is.
    """

    def __init__(self, server: ServerProcess, rest_port: int) -> None:
        self.codes: Counter[str] = Counter()
        self.peak_mib = 0
        self.faults: list[str] = []
        self.answers: set[tuple[str, str]] = set()
        self._pid = server.pid
        self.rest_port = rest_port
        self.channel = grpc.insecure_channel(server.address, [("grpc.max_send_message_length", -1)])
        # If it goes wrong, it is the server that ends and not the machine.
        virtual = self.memory_mib("VmSize") * 2**20
        resource.prlimit(self._pid, resource.RLIMIT_AS, (virtual + 6 * 2**30,) * 2)

    def ask(self, recipe: Recipe, at_once: int = 1) -> Found:
        """Sends a recipe's request, `at_once` times together."""
        if max(len(picture(recipe)), 2) * recipe.sent > LARGEST_BYTES:
            return Found(recipe)  # making it would take the memory of this process
        begun = time.monotonic()
        made = damaged((body if recipe.api == "rest" else message)(recipe), recipe.damage)
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")  # the peak begins anew
        before, started = self.memory_mib("VmRSS"), time.monotonic()
        if at_once == 1:
            answers = [self._ask(recipe, made)]
        else:
            with ThreadPoolExecutor(at_once) as pool:
                answers = list(pool.map(lambda _: self._ask(recipe, made), range(at_once)))
        seconds = time.monotonic() - started
        self.codes.update(code for code, _ in answers)
        peak = self.memory_mib("VmHWM")
        self.peak_mib = max(self.peak_mib, peak)
        if peak > LIMIT_MIB:
            self.faults.append(f"{peak} MiB: {at_once} x {recipe}")
        seen = {(code, NUMBER.sub("#", text)[:80]) for code, text in answers}
        is_new = not seen <= self.answers
        self.answers |= seen
        took = time.monotonic() - begun
        return Found(recipe, peak - before, took, seconds / at_once, is_new)

    def _ask(self, recipe: Recipe, made: bytes) -> tuple[str, str]:
        """The status that came, and what was said."""
        if recipe.api == "rest":
            return self._post(recipe, made)
        try:
            self.channel.unary_unary(method_of(recipe))(made, timeout=DEADLINE_S)
        except grpc.RpcError as error:
            if BUG in error.details() or error.code() is grpc.StatusCode.UNAVAILABLE:
                self.faults.append(f"{error.code().name} {error.details()}: {recipe}")
            return error.code().name, error.details()
        return "OK", ""

    def _post(self, recipe: Recipe, made: bytes) -> tuple[str, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=DEADLINE_S)
        headers = {"Content-Encoding": "gzip"} if recipe.gzipped else {}
        try:
            connection.request("POST", f"/v1/models/{MODEL}:predict", made, headers)
            response = connection.getresponse()
            said = response.read().decode(errors="replace")
            if BUG in said:
                self.faults.append(f"{response.status}: {recipe}")
            return f"HTTP {response.status}", "" if response.status == OK else said
        except OSError as error:
            return f"HTTP {type(error).__name__}", ""
        finally:
            connection.close()

    def memory_mib(self, what: str) -> int:
        """A line of the process's status, in MiB."""
        try:
            lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
            return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(what))
        except (OSError, StopIteration) as error:
            raise ServerEndedError from error


class ServerEndedError(Exception):
    """There is no server any more."""


class Rewarded:
    """The requests that are worth a change.

    Args:
        pace_s: what a request may take in the mean.
    """

    def __init__(self, pace_s: float, rng: random.Random) -> None:
        self.dearest: list[Found] = []
        self._pace_s, self._rng = pace_s, rng
        self._dear: list[Found] = []
        self._quick: list[Found] = []
        self._new: list[Found] = []
        self._children: Counter[Recipe] = Counter()

    def add(self, found: Found) -> None:
        """Keeps it, if it is among the dearest, the quick that took most, or the newest."""
        is_quick = found.seconds <= self._pace_s
        for best in (self.dearest, self._dear, *([self._quick] if is_quick else [])):
            best.append(found)
            best.sort(key=lambda one: -one.cost)
            del best[KEPT:]
        if found.is_new and is_quick:
            self._new = [found, *self._new][:KEPT]

    def next(self, has_time: bool) -> Recipe:
        """The change of a dear one if there is time for it, else a modest one of a quick one."""
        groups = [self._dear] if has_time else [self._quick, self._new]
        kept = self._rng.choice([group for group in groups if group] or [[Found(Recipe())]])
        # Half of what is changed is among the ten dearest.
        parent = self._rng.choice(kept[: self._rng.choice((10, KEPT))])
        self._children[parent.recipe] += 1
        if self._children[parent.recipe] >= CHILDREN and parent in kept:
            kept.remove(parent)
        recipe = changed(parent.recipe, self._rng)
        return recipe if has_time else modest(recipe)


def fuzz(
    fuzzed: Fuzzed, seeds: Sequence[Recipe], requests: int, seconds: float, seed: int
) -> list[Found]:
    """Sends requests, `seeds` first, in about `seconds`; returns what was dear, dearest first."""
    rng, started = random.Random(seed), time.monotonic()
    rewarded = Rewarded(seconds / requests, rng)
    untried, told = list(reversed(seeds)), 0
    try:
        while (total := fuzzed.codes.total()) < requests:
            spent = time.monotonic() - started
            if spent > 1.2 * seconds:
                print(f"{spent:.0f} s are over", file=sys.stderr)
                break
            if total // 1_000 > told:
                told = total // 1_000
                print(f"{total:7d} requests, {spent:.0f} s, {fuzzed.peak_mib} MiB", flush=True)
            has_time = spent / seconds <= total / requests
            recipe = untried.pop() if untried else rewarded.next(has_time)
            together = not untried and rng.random() < SHARE_AT_ONCE
            rewarded.add(fuzzed.ask(recipe, AT_ONCE if together else 1))
    except ServerEndedError:
        fuzzed.faults.append(f"the server ended at {recipe}")
    return rewarded.dearest


def main(argv: Sequence[str] | None = None) -> int:
    """Runs it; 1 if anything went wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=90.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without-network", action="store_true")
    parser.add_argument(
        "--flag", action="append", default=[], help="of the server; may be repeated"
    )
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        export(Path(folder, "1"), with_network=not options.without_network)
        port = free_port()
        flags = [f"--rest_api_port={port}", *options.flag]
        with ServerProcess(folder, MODEL, flags=flags) as server:
            fuzzed = Fuzzed(server, port)
            dearest = fuzz(fuzzed, SEEDS, options.requests, options.minutes * 60, options.seed)
            before = fuzzed.codes["OK"]
            if not fuzzed.faults:
                fuzzed.ask(Recipe())
                if fuzzed.codes["OK"] == before:
                    fuzzed.faults.append("a plain request is not answered any more")
    print(f"\n{fuzzed.codes.total()} requests, {fuzzed.peak_mib} MiB at most")
    for code, count in fuzzed.codes.most_common():
        print(f"{code:24} {count}")
    print(f"{len(fuzzed.answers)} different answers, but for their numbers")
    for one in dearest[:5]:
        print(f"{one.mib:6d} MiB {one.seconds_each:6.1f} s  {one.recipe}")
    for fault in fuzzed.faults[:20]:
        print(f"FAULT {fault}", file=sys.stderr)
    return 1 if fuzzed.faults else 0


if __name__ == "__main__":
    sys.exit(main())
