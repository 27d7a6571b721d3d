// Package hclcheck checks deploy/terraform as Terraform does before it calls a
// provider: form, names and arguments. It is a module of its own, since the product
// needs none of the packages that read HCL.
package hclcheck

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// blocks are those of the whole module.
func blocks(t *testing.T) []*hclsyntax.Block {
	t.Helper()
	files, err := filepath.Glob("../terraform/*.tf")
	if err != nil || len(files) < 5 {
		t.Fatalf("%q %v", files, err)
	}
	var found []*hclsyntax.Block
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parsed, diagnostics := hclsyntax.ParseConfig(text, file, hcl.InitialPos)
		if diagnostics.HasErrors() {
			t.Fatal(diagnostics)
		}
		found = append(found, parsed.Body.(*hclsyntax.Body).Blocks...)
	}
	return found
}

func TestModuleIsFormatted(t *testing.T) {
	files, err := filepath.Glob("../terraform/*.tf")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if formatted := hclwrite.Format(text); string(formatted) != string(text) {
			t.Errorf("%s: terraform fmt would make it\n%s", file, formatted)
		}
	}
}

// address is what an expression calls a block by; empty for the rest.
func address(block *hclsyntax.Block) string {
	switch block.Type {
	case "variable":
		return "var." + block.Labels[0]
	case "data", "ephemeral":
		return block.Type + "." + strings.Join(block.Labels, ".")
	case "resource":
		return strings.Join(block.Labels, ".")
	}
	return ""
}

func TestWhatIsNamedExistsAndWhatIsDeclaredIsUsed(t *testing.T) {
	declared, used := map[string]bool{}, map[string]bool{}
	for _, block := range blocks(t) {
		if block.Type == "locals" {
			for name := range block.Body.Attributes {
				declared["local."+name] = true
			}
		} else if name := address(block); name != "" {
			if declared[name] {
				t.Errorf("%s is there twice", name)
			}
			declared[name] = true
		}
	}
	for _, block := range blocks(t) {
		_, each := block.Body.Attributes["for_each"]
		for _, name := range references(block.Body, block.Type == "resource") {
			switch {
			case name == "each.key" || name == "each.value":
				if !each {
					t.Errorf("%v names %s and has no for_each", block.Labels, name)
				}
			case block.Type == "variable" && (name == "string" || name == "bool" || name == "number"):
			case !declared[name]:
				t.Errorf("%s %v names %s, which is not declared", block.Type, block.Labels, name)
			}
			if name != address(block) { // a variable's own rule does not count
				used[name] = true
			}
		}
	}
	for name := range declared {
		if strings.HasPrefix(name, "var.") || strings.HasPrefix(name, "local.") || strings.HasPrefix(name, "data.") || strings.HasPrefix(name, "ephemeral.") {
			if !used[name] {
				t.Errorf("nothing uses %s", name)
			}
		}
	}
}

// references are what the expressions of a body name: the first two or three
// parts of each. In lifecycle blocks of resources the names are arguments.
func references(body *hclsyntax.Body, resource bool) []string {
	var names []string
	for _, attribute := range body.Attributes {
		for _, traversal := range attribute.Expr.Variables() {
			parts := []string{traversal.RootName()}
			for _, step := range traversal[1:] {
				if attr, ok := step.(hcl.TraverseAttr); ok {
					parts = append(parts, attr.Name)
				} else {
					break
				}
			}
			length := 2
			if parts[0] == "data" || parts[0] == "ephemeral" {
				length = 3
			}
			names = append(names, strings.Join(parts[:min(length, len(parts))], "."))
		}
	}
	for _, block := range body.Blocks {
		if !resource || block.Type != "lifecycle" {
			names = append(names, references(block.Body, resource)...)
		}
	}
	return names
}

// resources are the arguments of each type as the providers document them, those
// that must be given first, up to the bar; blocks are written name{…}.
var resources = map[string]string{
	"google_project":                                 "| project_id",
	"random_password":                                "length | special upper lower numeric min_upper min_lower min_numeric min_special override_special",
	"google_project_service":                         "service | project disable_on_destroy disable_dependent_services",
	"google_service_account":                         "account_id | project display_name description disabled create_ignore_already_exists",
	"google_service_account_iam_member":              "service_account_id role member | condition",
	"google_project_iam_member":                      "project role member | condition",
	"google_cloud_tasks_queue":                       "location | name project desired_state retry_config{max_attempts,max_retry_duration,min_backoff,max_backoff,max_doublings} rate_limits{max_dispatches_per_second,max_concurrent_dispatches}",
	"google_cloud_tasks_queue_iam_member":            "role member name | project location condition",
	"google_sql_database_instance":                   "database_version settings{tier,edition,disk_autoresize,deletion_protection_enabled,backup_configuration,enabled,point_in_time_recovery_enabled,database_flags,name,value} | project region name deletion_protection",
	"google_sql_database":                            "name instance | project charset collation deletion_policy",
	"google_sql_user":                                "name instance | project type host password password_wo password_wo_version deletion_policy",
	"google_secret_manager_secret":                   "secret_id replication{auto} | project labels annotations",
	"google_secret_manager_secret_version":           "secret | enabled secret_data secret_data_wo secret_data_wo_version deletion_policy",
	"ephemeral google_secret_manager_secret_version": "secret | project version",
	"google_secret_manager_secret_iam_member":        "secret_id role member | project condition",
	"google_cloud_run_v2_service":                    "name location template{service_account,scaling,max_instance_count,containers,image} | project ingress deletion_protection",
	"google_cloud_run_v2_service_iam_member":         "name role member | project location condition",
	"google_cloud_scheduler_job":                     "name | project region schedule time_zone attempt_deadline description http_target{uri,http_method,headers,body,oidc_token,service_account_email,audience}",
	"google_artifact_registry_repository":            "repository_id format | project location description",
	"google_artifact_registry_repository_iam_member": "repository role member | project location condition",
	"google_storage_bucket":                          "name location | project uniform_bucket_level_access public_access_prevention force_destroy storage_class",
	"google_storage_bucket_iam_member":               "bucket role member | condition",
}

func TestResourcesHaveTheArgumentsThatTheirProvidersDocument(t *testing.T) {
	meta := []string{"count", "for_each", "depends_on", "lifecycle"}
	for _, block := range blocks(t) {
		if block.Type != "resource" && block.Type != "data" && block.Type != "ephemeral" {
			continue
		}
		arguments, ok := resources[block.Type+" "+block.Labels[0]]
		if !ok {
			arguments, ok = resources[block.Labels[0]]
		}
		if !ok {
			t.Errorf("%v: of a type that is not listed here", block.Labels)
			continue
		}
		required, optional, _ := strings.Cut(arguments, "|")
		known, nested := map[string]bool{}, map[string][]string{}
		for i, list := range []string{required, optional} {
			for _, word := range strings.Fields(list) {
				name, inner, isBlock := strings.Cut(word, "{")
				known[name] = true
				if isBlock {
					nested[name] = strings.Split(strings.TrimSuffix(inner, "}"), ",")
				}
				has := block.Body.Attributes[name] != nil || slices.ContainsFunc(block.Body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == name })
				if i == 0 && !has {
					t.Errorf("%v has no %s", block.Labels, name)
				}
			}
		}
		for name := range block.Body.Attributes {
			if !known[name] && !slices.Contains(meta, name) {
				t.Errorf("%v: there is no argument %s", block.Labels, name)
			}
		}
		for _, inner := range block.Body.Blocks {
			if inner.Type == "lifecycle" {
				continue
			}
			if _, ok := nested[inner.Type]; !ok {
				t.Errorf("%v: there is no block %s", block.Labels, inner.Type)
			}
			for _, name := range names(inner.Body) {
				if !slices.Contains(nested[inner.Type], name) {
					t.Errorf("%v: there is no %s in %s", block.Labels, name, inner.Type)
				}
			}
		}
	}
}

// names are the arguments and blocks of a body, at any depth.
func names(body *hclsyntax.Body) []string {
	var found []string
	for name := range body.Attributes {
		found = append(found, name)
	}
	for _, block := range body.Blocks {
		found = append(append(found, block.Type), names(block.Body)...)
	}
	return found
}

func TestPasswordsAreWrittenOnlyAndNothingSecretIsPrinted(t *testing.T) {
	for _, block := range blocks(t) {
		for name := range block.Body.Attributes {
			if block.Type == "resource" && (name == "password" || name == "secret_data") {
				t.Errorf("%v: %s would stand in the state", block.Labels, name)
			}
		}
		if block.Type == "output" {
			for _, name := range references(block.Body, false) {
				if strings.HasPrefix(name, "ephemeral.") || name == "var.database_url" {
					t.Errorf("output %v shows %s", block.Labels, name)
				}
			}
		}
	}
}
