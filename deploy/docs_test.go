package deploy_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var pages = []string{"docs/deploy-cloud-run.md", "docs/deploy-app-engine.md", "docs/security.md", "docs/operations.md", "docs/teardown.md", "docs/long-tasks.md", "docs/worker-pools.md"}

// source is all of the product's code, without tests.
func source(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for _, path := range goFiles(t, "server", "queue", "cloudtasks", "detect", "oidc", "internal") {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(file)
	}
	return text.String()
}

// foreign are messages of others on the page.
var foreign = []string{"permission denied for schema public", "too many clients already", "remaining connection slots are reserved"}

// What the page says the server says, it says.
func TestMessagesInOperationsAreTheServers(t *testing.T) {
	code := source(t)
	checked := 0
	for line := range strings.Lines(read(t, "docs/operations.md")) {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		first, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		for _, span := range regexp.MustCompile("[`*]([^`*]+)[`*]").FindAllStringSubmatch(first, -1) {
			if !strings.Contains(span[1], " ") || slices.Contains(foreign, span[1]) {
				continue
			}
			for part := range strings.SplitSeq(span[1], "…") {
				checked++
				if part = strings.TrimSpace(part); !said(code, part) {
					t.Errorf("nothing says %q", part)
				}
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d messages were found on the page", checked)
	}
}

// said reports whether the code has the message: as one literal, or as those of a
// config.Problem, which puts the setting in front of the text and a fix behind it.
func said(code, message string) bool {
	if strings.Contains(code, message) {
		return true
	}
	message = regexp.MustCompile(`^[A-Z]+(_[A-Z]+)+ `).ReplaceAllString(message, "")
	text, fix, _ := strings.Cut(message, ": ")
	return strings.Contains(code, `"`+text) && strings.Contains(code, fix)
}

func TestSettingsNamedInTheDocsExist(t *testing.T) {
	known := append(settings(t), "X_SERVERLESS_AUTHORIZATION")
	known = append(known, all(`\b_?([A-Z]+(?:_[A-Z]+)+)=`, read(t, "docs/deploy-cloud-run.md")+read(t, "docs/deploy-app-engine.md"))...)
	for _, command := range []string{"work", "enqueue", "run", "status", "purge", "requeue", "sweep", "list", "retry", "doctor"} {
		known = append(known, all(`\(\$(CLAIMCHECK_[A-Z_]+)\)`, run(t, nil, server(t), command, "--help").stdout)...)
	}
	known = append(known, "PROJECT_NUMBER", "PROJECT_ID", "REGION_ID", "SIGNATURE_REMOVED_BY_GOOGLE", "SHORT_SHA", "COMMIT_SHA", "OTHER_REGION", "IAM_BASED", "CLOUD_RUN_WORKER_POOL")
	for _, page := range pages {
		for _, name := range all("`(?:[^`]*[^A-Z_a-z`])?([A-Z]+(?:_[A-Z]+)+)", read(t, page)) {
			if !slices.Contains(known, name) {
				t.Errorf("%s: %s is no setting", page, name)
			}
		}
	}
}

func TestLinksInTheDocsLeadSomewhere(t *testing.T) {
	for _, page := range texts(t, "*.md", "docs/*.md", "queue/model/*.md") {
		prose := regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(read(t, page), "")
		for _, match := range regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`).FindAllStringSubmatch(prose, -1) {
			target := page
			if match[1] != "" {
				target = filepath.Join(filepath.Dir(page), match[1])
			}
			if _, err := os.Stat(filepath.Join("..", target)); err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if match[2] == "" {
				continue
			}
			text := read(t, target)
			var anchors []string
			for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
				plain := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
				anchors = append(anchors, "#"+strings.ReplaceAll(plain, " ", "-"))
			}
			if !slices.Contains(anchors, match[2]) {
				t.Errorf("%s: %s has no heading %s", page, target, match[2])
			}
		}
	}
}

// Pages name tests as evidence: they exist.
func TestTestsNamedInTheDocsExist(t *testing.T) {
	var code strings.Builder
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		code.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range texts(t, "*.md", "docs/*.md") {
		if page == "CHANGELOG.md" { // history
			continue
		}
		for _, name := range all("`(Test[A-Z][A-Za-z0-9]+)`", read(t, page)) {
			if !strings.Contains(code.String(), "func "+name+"(") {
				t.Errorf("%s names %s, which does not exist", page, name)
			}
		}
	}
}

// The tables of roles and of options say what the script does.
func TestDocsSayWhatSetupDoes(t *testing.T) {
	sh := read(t, "deploy/setup.sh")
	if documented, given := all(`(roles/[a-zA-Z.]+)`, regexp.MustCompile(`(?s)## Which account.*?\n## `).FindString(read(t, "docs/security.md"))), all(`(roles/[a-zA-Z.]+) "\$`, sh); !slices.Equal(documented, given) {
		t.Errorf("documented: %q, given: %q", documented, given)
	}
	for _, page := range pages {
		for _, command := range regexp.MustCompile(`deploy/setup\.sh( --[^\n`+"`"+`]*)`).FindAllStringSubmatch(read(t, page), -1) {
			for _, option := range regexp.MustCompile(`--[a-z-]+`).FindAllString(command[1], -1) {
				if !strings.Contains(sh, option+" ") && !strings.Contains(sh, option+")") {
					t.Errorf("%s: setup.sh has no %s", page, option)
				}
			}
		}
	}
	// What is typed to fill app.yaml in fills it in.
	for _, name := range all(`\b([A-Z_]+)=`, regexp.MustCompile(`(?s)deploy/render\.sh app\.yaml .*? > `).FindString(read(t, "docs/deploy-app-engine.md"))) {
		if !slices.ContainsFunc(values["app.yaml"], func(pair string) bool { return strings.HasPrefix(pair, name+"=") }) {
			t.Errorf("app.yaml has no place for %s", name)
		}
	}
}
