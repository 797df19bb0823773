"""A small pipeline in the form that `signs compile` writes."""

from pathlib import Path

IMAGE = f"ghcr.io/me/signs@sha256:{'a' * 64}"

PIPELINE = f"""\
components:
  comp-examplegen:
    executorLabel: SpanGen_executor
    inputDefinitions: {{parameters: {{image: {{parameterType: STRING}}}}}}
  comp-trainer: {{executorLabel: Trainer_executor}}
defaultPipelineRoot: minio://mlpipeline/v2/artifacts
deploymentSpec:
  executors:
    SpanGen_executor:
      container:
        command: [python, -m, kubeflow.step.entrypoint]
        image: '{{{{$.inputs.parameters[''image'']}}}}'
    Trainer_executor:
      container:
        image: '{{{{$.inputs.parameters[''image'']}}}}'
pipelineInfo: {{name: signs-synthetic}}
root:
  dag:
    tasks:
      SpanGen:
        componentRef: {{name: comp-examplegen}}
        inputs: {{parameters: {{image: {{componentInputParameter: image}}}}}}
        taskInfo: {{name: SpanGen}}
      Trainer:
        componentRef: {{name: comp-trainer}}
        dependentTasks: [SpanGen]
        retryPolicy: {{maxRetryCount: 3}}
        taskInfo: {{name: Trainer}}
  inputDefinitions:
    parameters:
      data_root: {{defaultValue: /workspace/data, parameterType: STRING}}
      image: {{defaultValue: '{IMAGE}', parameterType: STRING}}
      min_accuracy: {{defaultValue: 0.9, parameterType: NUMBER_DOUBLE}}
      train_steps: {{defaultValue: 0.0, parameterType: NUMBER_INTEGER}}
schemaVersion: 2.1.0
sdkVersion: tfx-1.21.0
---
platforms:
  kubernetes:
    deploymentSpec:
      executors:
        Trainer_executor:
          pvcMount:
          - {{mountPath: /workspace, constant: signs-workspace}}
"""


def write_pipeline(folder: Path, text: str = PIPELINE) -> Path:
    """The pipeline's file in `folder`."""
    path = folder / "pipeline.yaml"
    path.write_text(text)
    return path
