"""The manifests hold together, and Kubernetes and KServe would take them."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
from packaging.requirements import Requirement

from kubeflow.compiling.options import ClusterOptions, TrainingOptions
from kubeflow.compiling.platform import joint_training
from kubeflow.together.manifest import job
from model_server import flags
from model_server.configs import read
from model_server.configs.protos import MonitoringConfig
from model_server.process import free_port
from pipeline.commands.main import app
from serving.rollout import Rollout
from signs import protos
from tests.kubeflow.command_lines import unknown_options
from tests.kubeflow.custom_resources import (
    ENVOY_GATEWAY,
    GATEWAY_API,
    KSERVE,
    TRAINER,
    TRAINING_OPERATOR,
    validator,
)
from tests.kubeflow.manifests import (
    MANIFESTS,
    OVERLAYS,
    ROOT,
    Manifest,
    build,
    containers,
    of_kind,
    only,
    pods,
)
from tests.served import saved_model  # noqa: F401 - a fixture

KUBERNETES = "1.32.0"
OPTIONS = ClusterOptions(image=f"signs@sha256:{'0' * 64}")
CUSTOM = {
    "flink.apache.org", "gateway.envoyproxy.io", "gateway.networking.k8s.io", "serving.kserve.io",
    "trainer.kubeflow.org",
}  # fmt: skip
BUILT: dict[str, list[Manifest]] = {}


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[Manifest]:
    return _built(request.param)


@pytest.fixture
def cpu() -> list[Manifest]:
    return _built("overlays/cpu")


def _built(overlay: str) -> list[Manifest]:
    if overlay not in BUILT:
        BUILT[overlay] = build(MANIFESTS / overlay)
    return BUILT[overlay]


def _validate(objects: list[Manifest]) -> None:
    for each in objects:
        if each["apiVersion"].partition("/")[0] not in CUSTOM:  # see below
            kubernetes_validate.validate(each, KUBERNETES, strict=True)


# What the cluster would take


def test_kubernetes_takes_every_object(objects):
    _validate(objects)


@pytest.mark.parametrize(
    ("overlay", "file", "right", "wrong"),
    [
        ("overlays/cpu", "serving/deployment.yaml", "readOnlyRootFilesystem", "readonlyRootFs"),
        ("overlays/cpu", "serving/deployment.yaml", "failureThreshold", "failureTreshold"),
        ("overlays/cpu", "serving/scaling.yaml", "averageUtilization", "averageUtilisation"),
        ("overlays/cpu", "serving/network.yaml", "namespaceSelector", "nameSpaceSelector"),
        ("overlays/cpu", "base/retrain.yaml", "concurrencyPolicy", "concurencyPolicy"),
        ("overlays/cpu", "base/access.yaml", "resourceNames", "resourcesNames"),
        ("overlays/cpu", "base/workspace.yaml", "accessModes", "accessMode"),
        ("overlays/gpu", "overlays/gpu/deployment.yaml", "tolerations", "toleration"),
        ("jobs/ingest", "jobs/ingest/ingest.yaml", "ttlSecondsAfterFinished", "ttlSeconds"),
        ("jobs/predict", "jobs/predict/predict.yaml", "onExitCodes", "onExitCode"),
    ],
)
def test_a_misspelt_field_fails(tmp_path, overlay, file, right, wrong):
    copy = shutil.copytree(MANIFESTS, tmp_path / "manifests")
    text = (copy / file).read_text()
    assert right in text
    (copy / file).write_text(text.replace(right, wrong))
    with pytest.raises(kubernetes_validate.ValidationError, match=wrong):
        _validate(build(copy / overlay))


def test_a_value_of_the_wrong_type_fails(tmp_path):
    copy = shutil.copytree(MANIFESTS, tmp_path / "manifests")
    text = (copy / "serving/service.yaml").read_text()
    (copy / "serving/service.yaml").write_text(text.replace("port: 8500", 'port: "8500"'))
    with pytest.raises(kubernetes_validate.ValidationError, match="'8500' is not of type"):
        _validate(build(copy / "overlays/cpu"))


@pytest.fixture(scope="module")
def kserve() -> jsonschema.Draft202012Validator:
    return validator(KSERVE, "serving.kserve.io_inferenceservices.yaml")


def test_kserve_takes_the_inference_service(kserve):
    kserve.validate(only(_built("overlays/kserve"), "InferenceService"))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("storageUri", "storageURI"),
        ("modelFormat", "modelformat"),
        ("runtimeVersion", "runtimeVersions"),
        ("minReplicas", "minReplica"),
        ("readOnlyRootFilesystem", "readOnlyRootFileSystem"),
    ],
)
def test_a_misspelt_field_of_the_inference_service_fails(kserve, right, wrong):
    _refuses(kserve, only(_built("overlays/kserve"), "InferenceService"), right, wrong)


def _training(kind: str) -> tuple[jsonschema.Draft202012Validator, Manifest]:
    """What an operator is given for a training on several pods, and who knows its fields."""
    if kind == "TrainingRuntime":
        schema = validator(TRAINER, "trainer.kubeflow.org_trainingruntimes.yaml")
        return schema, only(_built("jobs/train-together"), kind)
    step = TrainingOptions(workers=3, job=kind, node_selector={"pool": "gpu"}, gpu=1)
    made = job(joint_training(replace(OPTIONS, training=step)), "mine", OPTIONS.image, ["-a"], {
        "apiVersion": "v1", "kind": "Pod", "name": "step", "uid": "1",
    })  # fmt: skip
    if kind == "TFJob":
        return validator(TRAINING_OPERATOR, "kubeflow.org_tfjobs.yaml"), made
    return validator(TRAINER, "trainer.kubeflow.org_trainjobs.yaml"), made


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("TrainingRuntime", "numNodes", "numNode"),
        ("TrainingRuntime", "maxRestarts", "maxRestart"),
        ("TrainingRuntime", "onJobFailureReasons", "onJobFailureReason"),
        ("TrainingRuntime", "podFailurePolicy", "podFailurePolicies"),
        ("TrainingRuntime", "fieldPath", "fieldsPath"),
        ("TrainJob", "runtimeRef", "runtimeReference"),
        ("TrainJob", "resourcesPerNode", "resourcesPerPod"),
        ("TrainJob", "nodeSelector", "nodeSelectors"),
        ("TFJob", "tfReplicaSpecs", "tfReplicaSpec"),
        ("TFJob", "cleanPodPolicy", "cleanPodsPolicy"),
        ("TFJob", "containerPort", "containersPort"),
    ],
)
def test_the_operators_take_what_is_theirs_and_nothing_misspelt(kind, right, wrong):
    schema, manifest = _training(kind)
    schema.validate(manifest)
    _refuses(schema, manifest, f'"{right}":', f'"{wrong}":')


def test_a_tfjobs_pods_are_those_of_the_runtime():
    (job_,) = [pod for _, pod in pods([_training("TFJob")[1]])]
    ((_, runtime),) = pods(_built("jobs/train-together"))
    ours, theirs = ({**each["spec"]} for each in (job_, runtime))
    ((mine,), (other,)) = (each.pop("containers") for each in (ours, theirs))
    assert theirs.pop("restartPolicy") == "Never"
    assert (ours.pop("nodeSelector"), len(ours.pop("tolerations"))) == ({"pool": "gpu"}, 1)
    assert ours == theirs
    own = ("name", "image", "args", "resources", "ports", "env")
    assert {k: v for k, v in mine.items() if k not in own} == {
        k: v for k, v in other.items() if k not in own
    }


@pytest.mark.parametrize(
    ("source", "kind", "file", "right", "wrong"),
    [
        (GATEWAY_API, "Gateway", "networking.k8s.io_gateways", "certificateRefs", "certificates"),
        (GATEWAY_API, "HTTPRoute", "networking.k8s.io_httproutes", "backendRefs", "backends"),
        (GATEWAY_API, "GRPCRoute", "networking.k8s.io_grpcroutes", "service", "servce"),
        (ENVOY_GATEWAY, "SecurityPolicy", "envoyproxy.io_securitypolicies", "issuer", "isuer"),
    ],
)
def test_the_gateways_take_what_is_theirs(source, kind, file, right, wrong):
    schema = validator(source, f"gateway.{file}.yaml")
    manifest = only(_built("overlays/gateway"), kind)
    schema.validate(manifest)
    _refuses(schema, manifest, f'"{right}":', f'"{wrong}":')


def test_nobody_comes_through_the_gateway_without_a_token_and_to_the_model_alone():
    built = _built("overlays/gateway")
    gateway = only(built, "Gateway")
    (target,) = only(built, "SecurityPolicy")["spec"]["targetRefs"]
    assert target["name"] == gateway["metadata"]["name"]  # the whole gateway
    assert {each["tls"]["mode"] for each in gateway["spec"]["listeners"]} == {"Terminate"}
    names = [each["hostname"] for each in gateway["spec"]["listeners"]]
    assert len(set(names)) == len(names)
    (rest,) = only(built, "HTTPRoute")["spec"]["rules"]
    assert [each["path"]["value"] for each in rest["matches"]] == ["/v1/models/signs"]
    (grpc,) = only(built, "GRPCRoute")["spec"]["rules"]
    assert [each["method"] for each in grpc["matches"]] == [
        {"service": "tensorflow.serving.PredictionService"}
    ]
    ports = {(port["port"]) for port in only(built, "Service")["spec"]["ports"]}
    assert {each["port"] for rule in (rest, grpc) for each in rule["backendRefs"]} == ports


def _refuses(
    schema: jsonschema.Draft202012Validator, manifest: Manifest, right: str, wrong: str
) -> None:
    text = json.dumps(manifest)
    assert right in text
    told = [error.message for error in schema.iter_errors(json.loads(text.replace(right, wrong)))]
    name = wrong.strip('":')
    assert any(f"'{name}' was unexpected" in message for message in told), told


# What holds together


def test_every_image_is_pinned(objects):
    for name, pod in pods(objects):
        for container in containers(pod):
            if name.startswith("TrainingRuntime/"):
                assert "image" not in container  # each TrainJob has its own: its pipeline's
                continue
            assert re.search(r"@sha256:[0-9a-f]{64}$|:\d+\.\d+\.\d+(-gpu)?$", container["image"]), (
                name
            )


def test_our_image_is_named_in_one_place():
    named = [p for p in MANIFESTS.rglob("*.yaml") if "registry.example.com" in p.read_text()]
    assert named == [MANIFESTS / "settings" / "kustomization.yaml"]


def test_the_namespace_is_named_in_one_place(tmp_path):
    copy = shutil.copytree(MANIFESTS, tmp_path / "manifests")
    path = copy / "settings/kustomization.yaml"
    path.write_text(path.read_text().replace("namespace: kubeflow", "namespace: mine"))
    for overlay in OVERLAYS:
        for each in build(copy / overlay):
            assert each["metadata"]["namespace"] == "mine", (overlay, each["metadata"]["name"])
            for subject in each.get("subjects", ()):
                assert subject["namespace"] == "mine"


def test_the_model_is_named_in_one_place(tmp_path):
    copy = shutil.copytree(MANIFESTS, tmp_path / "manifests")
    path = copy / "settings/model/kustomization.yaml"
    path.write_text(path.read_text().replace("model=signs", "model=hands"))
    for overlay in ("overlays/gateway", "overlays/gpu", "overlays/kserve"):
        built = build(copy / overlay)
        assert "signs-settings" not in json.dumps(built)  # it is ours alone
        for each in built:
            match each["kind"]:
                case "Deployment":
                    pod = each["spec"]["template"]["spec"]
                    (init,), (server,) = pod["initContainers"], pod["containers"]
                    assert init["env"] == [{"name": "MODEL", "value": "hands"}]
                    probes = [server[probe] for probe in ("startupProbe", "readinessProbe")]
                    paths = {probe["httpGet"]["path"] for probe in probes}
                    assert paths == {"/v1/models/hands/metadata"}
                case "InferenceService":
                    model = each["spec"]["predictor"]["model"]
                    assert each["metadata"]["name"] == "hands"
                    assert model["storageUri"] == f"pvc://{OPTIONS.claim}/serving/hands"
                    assert model["readinessProbe"]["httpGet"]["path"] == "/v1/models/hands/metadata"
                case "HTTPRoute":
                    (rule,) = each["spec"]["rules"]
                    (match,) = rule["matches"]
                    assert match["path"]["value"] == "/v1/models/hands"


def test_the_model_server_is_the_version_whose_api_is_locked(cpu):
    lines = (ROOT / "requirements" / "native.txt").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("tensorflow-serving-api==")]
    pin = Requirement(line.removesuffix(" \\"))
    version = str(pin.specifier).removeprefix("==")
    images = {c["image"] for c in containers(only(cpu, "Deployment")["spec"]["template"])}
    assert images == {f"tensorflow/serving:{version}"}
    gpu = only(_built("overlays/gpu"), "Deployment")["spec"]["template"]
    assert {c["image"] for c in containers(gpu)} == {f"tensorflow/serving:{version}-gpu"}
    predictor = only(_built("overlays/kserve"), "InferenceService")["spec"]["predictor"]
    assert predictor["model"]["runtimeVersion"] == version


def test_flink_and_its_job_server_are_of_one_version_and_of_our_beams():
    built = _built("engines/flink")
    flink = only(built, "FlinkDeployment")["spec"]
    (server,) = containers(only(built, "Deployment")["spec"]["template"])
    version = flink["flinkVersion"].removeprefix("v").replace("_", ".")
    lines = (ROOT / "requirements" / "native.txt").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("apache-beam")]
    beam = str(Requirement(line.removesuffix(" \\")).specifier).removeprefix("==")
    assert server["image"] == f"apache/beam_flink{version}_job_server:{beam}"
    assert flink["image"].startswith(f"flink:{version}-")
    (pool,) = flink["taskManager"]["podTemplate"]["spec"]["containers"]
    assert pool["command"] == ["signs", "engine-pool"]  # on loopback, with the task manager
    assert unknown_options(app, pool["command"][1:]) == []
    policies = of_kind(built, "NetworkPolicy")
    assert [each["spec"]["policyTypes"] for each in policies] == [["Ingress"], ["Ingress"]]


def test_no_container_may_do_more_than_it_must(objects):
    for name, pod in pods(objects):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] == 10001, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            for limits in container["resources"].values():
                assert {"cpu", "memory"} <= set(limits), name


def test_every_mount_has_its_volume_and_the_other_way_round(objects):
    for name, pod in pods(objects):
        volumes = {volume["name"] for volume in pod["spec"].get("volumes", ())}
        mounts = {m["name"] for c in containers(pod) for m in c.get("volumeMounts", ())}
        assert mounts == volumes, name


def test_the_claim_is_the_one_that_the_compiled_pipeline_mounts(objects):
    claims = of_kind(objects, "PersistentVolumeClaim")
    assert [claim["metadata"]["name"] for claim in claims] in ([], [OPTIONS.claim])
    for name, pod in pods(objects):
        for volume in pod["spec"]["volumes"]:
            if claim := volume.get("persistentVolumeClaim"):
                assert claim == {"claimName": OPTIONS.claim}, name
        for container in containers(pod):
            for mount in container["volumeMounts"]:
                if mount["name"] == "workspace":
                    parts = [OPTIONS.mount, *filter(None, [mount.get("subPath")])]
                    assert mount["mountPath"] == "/".join(parts), name


def test_config_maps_that_are_mounted_exist(cpu):
    made = {each["metadata"]["name"] for each in of_kind(cpu, "ConfigMap")}
    asked = {
        volume["configMap"]["name"]
        for _, pod in pods(cpu)
        for volume in pod["spec"]["volumes"]
        if "configMap" in volume
    }
    assert asked == made
    assert all(re.fullmatch("signs-serving-[a-z0-9]{10}", name) for name in made)


def test_kserve_is_told_of_a_config_map_that_exists():
    built = _built("overlays/kserve")
    predictor = only(built, "InferenceService")["spec"]["predictor"]
    (volume,) = predictor["volumes"]
    assert volume["configMap"]["name"] == only(built, "ConfigMap")["metadata"]["name"]
    assert [mount["name"] for mount in predictor["model"]["volumeMounts"]] == [volume["name"]]
    path = MANIFESTS / "overlays/kserve/monitoring.config"
    monitoring = read.read(path, MonitoringConfig()).prometheus_config
    assert monitoring.enable
    assert monitoring.path == predictor["annotations"]["prometheus.io/path"]


def test_accounts_exist_and_roles_are_given_to_them(objects):
    accounts = {
        each["metadata"]["name"] for each in of_kind([*objects, *_built("base")], "ServiceAccount")
    }
    roles = {each["metadata"]["name"] for each in of_kind(objects, "Role")}
    for binding in of_kind(objects, "RoleBinding"):
        assert binding["roleRef"]["name"] in roles
        assert {subject["name"] for subject in binding["subjects"]} <= accounts
    for name, pod in pods(objects):
        assert pod["spec"].get("serviceAccountName") in {None, *accounts}, name


def test_the_steps_may_read_the_secret_that_the_compiled_pipeline_names(cpu):
    (role,) = [r for r in of_kind(cpu, "Role") if r["metadata"]["name"] == "signs-pipeline"]
    (secrets,) = [rule for rule in role["rules"] if rule["resources"] == ["secrets"]]
    assert OPTIONS.object_store_secret in secrets["resourceNames"]
    assert secrets["verbs"] == ["get"]


def test_no_role_has_a_wildcard(cpu):
    for role in of_kind(cpu, "Role"):
        assert "*" not in json.dumps(role["rules"])
    assert not of_kind(cpu, "ClusterRole")


def test_no_secret_is_written_down(objects):
    assert not of_kind(objects, "Secret")


@pytest.mark.parametrize("overlay", ["overlays/cpu", "overlays/gpu"])
def test_service_scaling_budget_and_policy_are_for_the_pods_of_the_deployment(overlay):
    built = _built(overlay)
    deployment = only(built, "Deployment")
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels
    assert only(built, "Service")["spec"]["selector"].items() <= labels
    budget = only(built, "PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"].items() <= labels
    policy = only(built, "NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels
    target = only(built, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert target == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    assert "replicas" not in deployment["spec"]  # an apply must not undo the scaling


@pytest.mark.parametrize("overlay", ["overlays/cpu", "overlays/gpu"])
def test_ports_are_those_that_the_server_listens_on(overlay):
    built = _built(overlay)
    pod = only(built, "Deployment")["spec"]["template"]
    (server,) = pod["spec"]["containers"]
    options, _ = flags.parse(server["args"])
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert ports == {"grpc": options.port, "http": options.rest_api_port}
    assert ports == {"grpc": 8500, "http": 8501}
    for port in only(built, "Service")["spec"]["ports"]:
        assert (port["targetPort"], port["port"]) in ports.items()
    for rule in only(built, "NetworkPolicy")["spec"]["ingress"]:
        assert {port["port"] for port in rule["ports"]} <= set(ports)
    probes = [server[probe] for probe in ("startupProbe", "readinessProbe")]
    assert [probe["httpGet"]["port"] for probe in probes] == ["http", "http"]
    assert server["livenessProbe"]["tcpSocket"]["port"] == "grpc"
    annotations = pod["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(options.rest_api_port)


def test_probes_metrics_and_kserve_are_for_the_model_that_pusher_writes(cpu, tmp_path):
    _lay_out(tmp_path)
    models = read.read(_choose_models(cpu, tmp_path), protos.ModelServerConfig())
    (model,) = models.model_config_list.config
    model.base_path = model.base_path.removeprefix(str(tmp_path))
    assert (model.name, model.base_path) == ("signs", f"{OPTIONS.mount}/serving/signs")
    (server,) = only(cpu, "Deployment")["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe"):
        assert server[probe]["httpGet"]["path"] == f"/v1/models/{model.name}/metadata"
    service = only(_built("overlays/kserve"), "InferenceService")
    assert service["metadata"]["name"] == model.name
    served = service["spec"]["predictor"]["model"]
    assert served["storageUri"] == f"pvc://{OPTIONS.claim}/serving/{model.name}"
    assert served["readinessProbe"]["httpGet"]["path"] == f"/v1/models/{model.name}/metadata"
    _, unknown = flags.parse(served["args"])
    assert unknown == []


def test_the_gpu_overlay_asks_for_a_gpu_and_the_others_for_none(cpu):
    (server,) = only(_built("overlays/gpu"), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert server["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert (
        server["args"]
        == only(cpu, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    )
    assert "nvidia" not in json.dumps(cpu)


def test_retraining_waits_its_turn_and_is_off_at_first(cpu):
    for each in of_kind(cpu, "CronJob"):
        spec = each["spec"]
        assert (spec["concurrencyPolicy"], spec["suspend"]) == ("Forbid", True)
        assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0


def test_the_retraining_waits_as_long_as_its_run(cpu):
    (job,) = [
        each for each in of_kind(cpu, "CronJob") if each["metadata"]["name"] == "signs-retrain"
    ]
    spec = job["spec"]["jobTemplate"]["spec"]
    (container,) = containers(spec["template"])
    assert "activeDeadlineSeconds" not in spec
    assert not {"--timeout", "--no-wait"} & set(container["command"])


def test_images_are_ingested_by_a_new_job_each_time():
    spec = only(_built("jobs/ingest"), "CronJob")["spec"]
    assert spec["suspend"] is True  # a job is made from it by hand
    assert spec["jobTemplate"]["spec"]["ttlSecondsAfterFinished"] > 0


def test_requests_are_compared_once_and_a_killed_prediction_goes_on():
    monitor = only(_built("jobs/monitor"), "CronJob")["spec"]
    assert (monitor["suspend"], monitor["jobTemplate"]["spec"]["backoffLimit"]) == (True, 0)
    predict = only(_built("jobs/predict"), "CronJob")["spec"]
    job = predict["jobTemplate"]["spec"]
    assert predict["suspend"] is True
    assert job["backoffLimit"] > 0
    ((_, pod),) = pods(_built("jobs/predict"))
    (container,) = containers(pod)
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    assert rule["onExitCodes"]["values"] == [1, 2]  # what `signs` itself has to say
    assert pod["spec"]["restartPolicy"] == "Never"  # which such a policy wants


@pytest.mark.parametrize("overlay", ["overlays/cpu", "overlays/gpu"])
def test_a_drain_leaves_a_server(overlay):
    built = _built(overlay)
    fewest = only(built, "HorizontalPodAutoscaler")["spec"]["minReplicas"]
    assert fewest > only(built, "PodDisruptionBudget")["spec"]["maxUnavailable"]


def test_tensorflow_serving_may_be_named_by_a_digest(tmp_path):
    copy = shutil.copytree(MANIFESTS, tmp_path / "manifests")
    path = copy / "serving/kustomization.yaml"
    path.write_text(path.read_text().replace("newTag: 2.19.1", f"digest: sha256:{'7' * 64}"))
    pod = only(build(copy / "overlays/cpu"), "Deployment")["spec"]["template"]
    assert {c["image"] for c in containers(pod)} == {f"tensorflow/serving@sha256:{'7' * 64}"}


# What runs


def test_tensorflow_serving_knows_every_flag(cpu):
    (server,) = only(cpu, "Deployment")["spec"]["template"]["spec"]["containers"]
    _, unknown = flags.parse(server["args"])
    assert unknown == []


def test_a_training_on_several_pods_starts_what_takes_its_options():
    ((_, pod),) = pods(_built("jobs/train-together"))
    (container,) = containers(pod)
    *python, module = container["command"]
    assert python == ["python", "-m"]
    together = importlib.import_module(module).app
    assert unknown_options(together, ["--arguments=x"]) == []


@pytest.mark.parametrize("command", ["submit", "ingest", "prune", "monitor", "predict"])
def test_signs_knows_every_option(command):
    built = [each for overlay in OVERLAYS for each in _built(overlay)]
    lines = {
        tuple(container["command"][1:])
        for _, pod in pods(built)
        for container in containers(pod)
        if container.get("command", [])[:2] == ["signs", command]
    }
    (line,) = lines
    assert unknown_options(app, line) == []


def _lay_out(root: Path) -> None:
    """Makes the folders that a pod of the model server mounts; `root` stands for `/`."""
    for folder in ("workspace/serving", "etc/serving", "config"):
        (root / folder).mkdir(parents=True)
    for path in (MANIFESTS / "serving").glob("*.config"):
        text = path.read_text().replace('"/workspace', f'"{root}/workspace')
        (root / "etc/serving" / path.name).write_text(text)


def _choose_models(objects: list[Manifest], root: Path) -> Path:
    """Does what the init container does; the file that tells the server what to serve."""
    (init,) = only(objects, "Deployment")["spec"]["template"]["spec"]["initContainers"]
    script = re.sub('(?<=[ "])(?=/)', str(root), init["command"][2])
    environment = {each["name"]: each["value"] for each in init["env"]}
    subprocess.run([*init["command"][:2], script], check=True, env={**os.environ, **environment})
    return root / "config/models.config"


def test_pods_start_with_the_labels_of_a_promotion_or_the_newest(cpu, tmp_path):
    _lay_out(tmp_path)
    models = read.read(_choose_models(cpu, tmp_path), protos.ModelServerConfig())
    (model,) = models.model_config_list.config
    assert model.base_path == f"{tmp_path}/workspace/serving/signs"
    assert not model.HasField("model_version_policy")  # the newest
    (tmp_path / "workspace/serving/signs.config").write_text("promoted")
    assert _choose_models(cpu, tmp_path).read_text() == "promoted"


def test_a_server_as_deployed_is_ready_serves_what_was_promoted_and_is_measured(
    cpu,
    saved_model,  # noqa: F811
    tmp_path,
):
    """Our own model server stands in for TensorFlow Serving, whose contract it keeps."""
    _lay_out(tmp_path)
    models = tmp_path / "workspace/serving/signs"
    for version in ("1", "2"):
        shutil.copytree(saved_model, models / version)
    Rollout(models).promote(1)
    pod = only(cpu, "Deployment")["spec"]["template"]
    _choose_models(cpu, tmp_path)
    (server,) = pod["spec"]["containers"]
    port = free_port()
    arguments = [re.sub("=(?=/)", f"={tmp_path}", argument) for argument in server["args"]]
    arguments += [f"--port={free_port()}", f"--rest_api_port={port}"]  # the last one counts
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "model_server", *arguments], stdout=log, stderr=log
        )
    try:
        ready = json.loads(_get(port, server["readinessProbe"]["httpGet"]["path"], process))
        assert ready["model_spec"]["version"] == "1"  # the newest is not promoted, and not loaded
        status = json.loads(_get(port, "/v1/models/signs", process))
        (version,) = status["model_version_status"]
        assert (version["version"], version["state"]) == ("1", "AVAILABLE")
        assert json.loads(_get(port, "/v1/models/signs/labels/stable", process)) == status
        metrics = _get(port, pod["metadata"]["annotations"]["prometheus.io/path"], process)
        assert ":tensorflow:" in metrics
    finally:
        process.kill()
        process.wait()


def _get(port: int, path: str, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.2)
