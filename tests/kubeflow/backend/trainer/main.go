// What Kubeflow Trainer makes of a TrainJob and its TrainingRuntime: the JobSet, by Trainer's own code.
//
// Standard input: {"runtime": TrainingRuntime, "job": TrainJob}. Standard output: the JobSet.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	trainer "github.com/kubeflow/trainer/v2/pkg/apis/trainer/v1alpha1"
	"github.com/kubeflow/trainer/v2/pkg/runtime/core"
	testingutil "github.com/kubeflow/trainer/v2/pkg/util/testing"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var in struct {
		Runtime trainer.TrainingRuntime
		Job     trainer.TrainJob
	}
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return err
	}
	ctx := context.Background()
	builder := testingutil.NewClientBuilder().WithObjects(&in.Runtime)
	runtime, err := core.NewTrainingRuntime(ctx, builder.Build(), testingutil.AsIndex(builder), nil)
	if err != nil {
		return err
	}
	if _, wrong := runtime.ValidateObjects(ctx, nil, &in.Job); len(wrong) > 0 {
		return wrong.ToAggregate()
	}
	objects, err := runtime.NewObjects(ctx, &in.Job)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(objects)
}
