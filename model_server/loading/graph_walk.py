"""What of a graph runs: the nodes behind a tensor, in the graph and in the functions it calls.

fetched tensors -> nodes -> inputs, control inputs, functions -> ... -> every node that may run
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.attr_value_pb2 import AttrValue
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_WRITES = ("Assign", "ResourceScatter", "ResourceStridedSliceAssign")  # what their names begin with


@dataclass(frozen=True)
class Node:
    """A node, and the function in whose body it is; "" is the graph itself."""

    function: str
    definition: NodeDef

    def text(self, attribute: str, default: bytes = b"") -> bytes:
        """An attribute of text; asking a protobuf map for what it lacks would put it there."""
        found = self.definition.attr.get(attribute)
        return default if found is None else found.s


class Graph:
    """A GraphDef, by the names of its nodes and functions."""

    def __init__(self, definition: GraphDef) -> None:
        library = definition.library
        self.functions = {one.signature.name: one for one in library.function}
        self._bodies = {
            name: {node.name: Node(name, node) for node in function.node_def}
            for name, function in self.functions.items()
        }
        self._bodies[""] = {node.name: Node("", node) for node in definition.node}
        self._gradients = {one.function_name: one.gradient_func for one in library.gradient}

    def reached(self, fetches: Iterable[str], fed: Collection[str]) -> list[Node]:
        """The nodes that may run where tensors are computed.

        All of a function may run that is called at all: TensorFlow leaves out of it what it likes.

        Args:
            fetches: names of tensors, or of nodes.
            fed: names of tensors that are given: what lies behind them does not run.
        """
        given = {_tensor_name(name) for name in fed}
        found: dict[str, Node] = {}
        waiting = list(fetches)
        while waiting:
            name = waiting.pop()
            node = self._maker(name, "")
            if node is None or node.definition.name in found or _tensor_name(name) in given:
                continue
            found[node.definition.name] = node
            waiting += node.definition.input
        return [*found.values(), *self._called_by(found.values())]

    def everything(self) -> list[Node]:
        """All of the graph, and the functions that it calls, of which some may never run."""
        nodes = self._bodies[""].values()
        return [*nodes, *self._called_by(nodes)]

    def behind(self, node: Node) -> list[Node]:
        """A node, and those that its inputs come from, within its function."""
        found = {node.definition.name: node}
        waiting = list(node.definition.input)
        while waiting:
            maker = self._maker(waiting.pop(), node.function)
            if maker is not None and maker.definition.name not in found:
                found[maker.definition.name] = maker
                waiting += maker.definition.input
        return list(found.values())

    def stems_from(
        self, node: Node, index: int, sources: Collection[str], running: Collection[Node]
    ) -> bool:
        """Whether an input is always one of some tensors of the graph, handed on unchanged.

        It may go through identities, arguments of functions, and variables that hold nothing else.

        Args:
            node: whose input it is.
            index: which of its inputs.
            sources: names of the tensors.
            running: all nodes that may run before.
        """
        names = {_tensor_name(name) for name in sources}
        seen: set[tuple[str, str, int]] = set()
        waiting = [(node, index)]
        while waiting:
            node, index = waiting.pop()
            place = (node.function, node.definition.name, index)
            if place in seen:
                continue
            seen.add(place)
            if index >= len(node.definition.input):
                return False
            tensor = node.definition.input[index]
            if not node.function and _tensor_name(tensor) in names:
                continue
            behind = self._handed_on(tensor, node.function, running)
            if not behind:
                return False
            waiting += behind
        return True

    def _handed_on(
        self, tensor: str, function: str, running: Collection[Node]
    ) -> list[tuple[Node, int]]:
        """The inputs, of other nodes, one of which a tensor is; none where it may be anything."""
        maker = self._maker(tensor, function)
        if maker is None:
            return self._arguments(tensor, function, running)
        if maker.definition.op == "Identity":
            return [(maker, 0)]
        if maker.definition.op == "ReadVariableOp":
            return _writes_of_strings(running)
        return []

    def _arguments(
        self, name: str, function: str, running: Collection[Node]
    ) -> list[tuple[Node, int]]:
        """What each call gives for an argument; nothing where a call is of another kind."""
        if not function:
            return []
        names = [one.name for one in self.functions[function].signature.input_arg]
        calls = [node for node in running if function in self._calls(node.definition)]
        known = all(node.definition.op in (*_CALLS, function) for node in calls)
        return [(node, names.index(name)) for node in calls] if known and name in names else []

    def _called_by(self, callers: Iterable[Node]) -> Iterator[Node]:
        """The bodies of all functions that nodes call, and of those that these call."""
        seen: set[str] = set()
        waiting = list(callers)
        while waiting:
            for name in self._calls(waiting.pop().definition) - seen:
                seen.add(name)
                waiting += self._bodies[name].values()
                yield from self._bodies[name].values()

    def _calls(self, node: NodeDef) -> set[str]:
        names = {node.op, *_functions_named(node.attr.values())}
        names |= {self._gradients[name] for name in names & self._gradients.keys()}
        return names & self.functions.keys()

    def _maker(self, tensor: str, function: str) -> Node | None:
        """What computes a tensor; None where it is an argument of the function, or nothing."""
        return self._bodies[function].get(tensor.removeprefix("^").partition(":")[0])


def _functions_named(values: Iterable[AttrValue]) -> Iterator[str]:
    """Those in attributes, and those that one function is given for another's attributes."""
    for value in values:
        for function in (value.func, *value.list.func):
            yield function.name
            yield from _functions_named(function.attr.values())


def _writes_of_strings(running: Collection[Node]) -> list[tuple[Node, int]]:
    """What is written to variables of strings, which may have more than one name each."""
    return [
        # Of what changes only a part of a variable, no input is the whole.
        (node, 1 if node.definition.op == "AssignVariableOp" else len(node.definition.input))
        for node in running
        if node.definition.op.startswith(_WRITES)
        and any(value.type == types_pb2.DT_STRING for value in node.definition.attr.values())
    ]


def _tensor_name(name: str) -> str:
    return name if ":" in name or name.startswith("^") else f"{name}:0"
