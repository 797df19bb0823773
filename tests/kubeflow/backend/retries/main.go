// What Argo's controller makes of a Workflow's retries where an installation has defaults of its own:
// its two merges (setWorkflowDefaults, mergedTemplateDefaultsInto in workflow/controller), the policy
// that results, and what the policy's expression says of an attempt. With Argo's own types.
//
// Standard input: {"defaults": WORKFLOW, "workflow": WORKFLOW, "attempts": [LAST_RETRY], "names": [NODE]}
// Standard output: {"ttl": ..., "templates": {NAME: {"policy", "limit", "goes_on": [BOOL]}}, "ids": {NODE: ID}}
package main

import (
	"encoding/json"
	"fmt"
	"os"

	wfv1 "github.com/argoproj/argo-workflows/v4/pkg/apis/workflow/v1alpha1"
	"github.com/argoproj/argo-workflows/v4/util/expr/argoexpr"
	"github.com/argoproj/argo-workflows/v4/util/expr/env"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

type retries struct {
	Policy string `json:"policy"`
	Limit  string `json:"limit"`
	GoesOn []bool `json:"goes_on"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var in struct {
		Defaults, Workflow wfv1.Workflow
		Attempts           []map[string]interface{}
		Names              []string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return err
	}
	var workflow wfv1.Workflow
	if err := merge(in.Defaults, in.Workflow, &workflow); err != nil {
		return err
	}
	templates, ids := map[string]retries{}, map[string]string{}
	for _, template := range workflow.Spec.Templates {
		if defaults := workflow.Spec.TemplateDefaults; defaults != nil {
			var merged wfv1.Template
			if err := merge(*defaults, template, &merged); err != nil {
				return err
			}
			template = merged
		}
		strategy := template.RetryStrategy
		if strategy == nil {
			continue
		}
		found := retries{Policy: string(strategy.RetryPolicyActual()), GoesOn: []bool{}}
		if strategy.Limit != nil {
			found.Limit = strategy.Limit.String()
		}
		for _, attempt := range in.Attempts {
			goesOn := true
			if strategy.Expression != "" {
				var err error
				if goesOn, err = argoexpr.EvalBool(strategy.Expression, env.GetFuncMap(attempt)); err != nil {
					return err
				}
			}
			found.GoesOn = append(found.GoesOn, goesOn)
		}
		templates[template.Name] = found
	}
	for _, name := range in.Names {
		ids[name] = workflow.NodeID(name)
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]interface{}{
		"ttl": workflow.Spec.TTLStrategy, "templates": templates, "ids": ids,
	})
}

// What is in `over` goes before what is in `under`, field by field.
func merge[T any](under, over T, merged *T) error {
	below, err := json.Marshal(under)
	if err != nil {
		return err
	}
	above, err := json.Marshal(over)
	if err != nil {
		return err
	}
	both, err := strategicpatch.StrategicMergePatch(below, above, *merged)
	if err != nil {
		return err
	}
	return json.Unmarshal(both, merged)
}
