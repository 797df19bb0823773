"""What KFP's driver and launcher ask by gRPC, on loopback: the metadata store and the step cache.

The store is the real ML Metadata library behind the service that its server offers; the cache is
KFP's `api.TaskService` (backend/api/v1beta1/task.proto), of which the backend uses two calls.
"""

import json
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from ml_metadata.metadata_store.pywrap.metadata_store_extension import metadata_store
from ml_metadata.proto import metadata_store_pb2

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _task_messages() -> dict[str, type[Any]]:
    """Messages of task.proto, as far as they are used: name -> class."""
    file = descriptor_pb2.FileDescriptorProto(name="task.proto", package="api", syntax="proto3")
    text = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
    nested = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
    once = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
    many = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
    for name, fields in {
        "Task": [
            ("id", 1, text, once), ("namespace", 2, text, once), ("pipelineName", 3, text, once),
            ("runId", 4, text, once), ("mlmdExecutionID", 5, text, once),
            ("fingerprint", 8, text, once),
        ],
        "CreateTaskRequest": [("task", 1, nested, once)],
        "ListTasksRequest": [("filter", 5, text, once)],
        "ListTasksResponse": [("tasks", 1, nested, many)],
    }.items():  # fmt: skip
        message = file.message_type.add(name=name)
        for field, number, kind, label in fields:
            added = message.field.add(name=field, number=number, type=kind, label=label)
            if kind == nested:
                added.type_name = ".api.Task"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"api.{name}"))
        for name in ("Task", "CreateTaskRequest", "ListTasksRequest", "ListTasksResponse")
    }


class MetadataService(grpc.GenericRpcHandler):
    """Serves while it is entered: `with MetadataService() as service: ... service.port`."""

    def __init__(self) -> None:
        config = metadata_store_pb2.ConnectionConfig()
        config.fake_database.SetInParent()
        self._store = metadata_store.CreateMetadataStore(
            config.SerializeToString(), metadata_store_pb2.MigrationOptions().SerializeToString()
        )
        self._lock = threading.Lock()
        self._messages = _task_messages()
        self.tasks: list[Any] = []  # steps in the cache, oldest first
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    def __enter__(self) -> "MetadataService":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Finds who answers a call, as gRPC asks it."""
        service, method = details.method.strip("/").split("/")
        if service == "ml_metadata.MetadataStoreService":
            return grpc.unary_unary_rpc_method_handler(self._metadata(method))
        answers = {"ListTasksV1": self._list, "CreateTaskV1": self._create}
        answers |= {"ListTasks": self._list, "CreateTask": self._create}  # KFP before 2.1
        if service == "api.TaskService" and method in answers:
            return grpc.unary_unary_rpc_method_handler(answers[method])
        return None

    def _metadata(self, method: str) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            with self._lock:
                response, message, code = getattr(metadata_store, method)(self._store, request)
            if code:
                context.abort(_CODES[code], message.decode())
            return bytes(response)

        return answer

    def _list(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        wanted = json.loads(self._messages["ListTasksRequest"].FromString(request).filter)
        matches = [
            task
            for task in reversed(self.tasks)
            if all(
                getattr(task, each["key"]) == each["stringValue"] for each in wanted["predicates"]
            )
        ]
        return bytes(self._messages["ListTasksResponse"](tasks=matches[:1]).SerializeToString())

    def _create(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        task = self._messages["CreateTaskRequest"].FromString(request).task
        self.tasks.append(task)
        return bytes(task.SerializeToString())
