// What KFP's API server makes of a compiled pipeline when a run of it is created: it loads the file
// (apiserver/template, NewV2SpecTemplate), checks the parameters and calls the argo compiler
// (RunWorkflow), and Argo's own validation follows.
//
//	compiler FILE PARAMETERS PIPELINE_ROOT RUN_ID
//
// PARAMETERS is a JSON object. Prints the Workflow as JSON; or, with exit status 1, the error.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/kubeflow/pipelines/backend/src/apiserver/model"
	"github.com/kubeflow/pipelines/backend/src/apiserver/template"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path, parameters, root, runID string) error {
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	spec, err := template.NewV2SpecTemplate(file)
	if err != nil {
		return err
	}
	request := &model.Run{DisplayName: "signs"}
	request.PipelineSpec.RuntimeConfig.Parameters = parameters
	request.PipelineSpec.RuntimeConfig.PipelineRoot = root
	workflow, err := spec.RunWorkflow(request, template.RunWorkflowOptions{RunId: runID})
	if err != nil {
		return err
	}
	if err := workflow.Validate(false, false); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(workflow)
}
