package deploy_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Texts with commands: pages, and files whose comments contain commands.
func texts(t *testing.T, patterns ...string) []string {
	t.Helper()
	var found []string
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join("..", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			found = append(found, strings.TrimPrefix(file, "../"))
		}
	}
	return found
}

// recorder is a shell in which gcloud is a function that records its arguments and
// every other program is missing.
const recorder = `
gcloud() { printf '%s\0' "$@" $'\x01' >>"$RECORD"; echo answer; }
command_not_found_handle() { :; }
PATH=/nonexistent
`

// environment is what a page of shell commands may take for granted. The pages that
// are followed step by step define everything themselves.
var environment = map[string]string{
	"docs/scaling.md": "REGION=r",
	"docs/long-tasks.md": "PROJECT_ID=my-project PROJECT_NUMBER=1 REGION=r SERVICE=s IMAGE=i " +
		"SERVER_ACCOUNT=s@x INVOKER=i@x CLOUD_SQL_INSTANCE=p:r:i",
	"docs/telemetry.md":    "PROJECT_ID=my-project",
	"docs/worker-pools.md": "PROJECT_ID=my-project REGION=r SERVICE=s IMAGE=i INVOKER=i@x",
	"docs/http.md":         "PROJECT_ID=my-project REGION=r SERVICE=s CALLER=c@x",
	"docs/security.md":     "PROJECT_ID=my-project REGION=r SERVICE=s",
	"docs/doctor.md":       "PROJECT_ID=my-project PROJECT_NUMBER=1 REGION=r SERVICE=s IMAGE=i URL=u RUNTIME=r@x INVOKER=i@x",
}

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// blockCommands are the gcloud commands of the shell blocks of the pages, which bash
// takes apart: each page's blocks are run in order, as a reader does.
func blockCommands(t *testing.T) []invocation {
	t.Helper()
	var found []invocation
	for _, page := range texts(t, "README.md", "docs/*.md") {
		var script strings.Builder
		for _, match := range shellBlock.FindAllStringSubmatch(read(t, page), -1) {
			script.WriteString(match[1])
		}
		if strings.Contains(script.String(), "gcloud") {
			found = append(found, shell(t, page, environment[page], script.String())...)
		}
	}
	// The comment at the top of cloudbuild.yaml is a command, too.
	var script strings.Builder
	for line := range strings.Lines(read(t, "cloudbuild.yaml")) {
		if comment, ok := strings.CutPrefix(line, "#   "); ok {
			script.WriteString(comment)
		}
	}
	return append(found, shell(t, "cloudbuild.yaml", "", script.String())...)
}

// shell returns the gcloud commands of a script.
func shell(t *testing.T, where, environment, script string) []invocation {
	t.Helper()
	dir := t.TempDir()
	record := filepath.Join(dir, "record")
	cmd := exec.CommandContext(t.Context(), "bash", "-c", recorder+"set -u\nexport NONE= "+environment+"\n"+script+"\nwait\n")
	cmd.Dir, cmd.Env = dir, []string{"RECORD=" + record, "HOME=" + dir}
	output, err := cmd.CombinedOutput()
	if strings.Contains(string(output), "unbound variable") || strings.Contains(string(output), "syntax error") {
		t.Errorf("%s: %v\n%s", where, err, output)
	}
	text, err := os.ReadFile(record)
	if err != nil {
		t.Errorf("%s: no command of gcloud was run: %v\n%s", where, err, output)
	}
	var found []invocation
	for call := range strings.SplitSeq(strings.TrimSuffix(string(text), "\x01\x00"), "\x01\x00") {
		args := strings.Split(strings.TrimSuffix(call, "\x00"), "\x00")
		for i, arg := range args {
			if kind, ok := strings.CutSuffix(arg, ".filled.yaml"); ok { // gcloud reads the file when it parses
				args[i] = filled(t, kind)
			}
		}
		found = append(found, invocation{where: where, args: args})
	}
	return found
}

var codeSpan = regexp.MustCompile("`gcloud ([^`]+)`")

// spanCommands are the gcloud commands in the prose of pages, and in the comments and
// messages of scripts and manifests.
func spanCommands(t *testing.T) []invocation {
	t.Helper()
	files := texts(t, "README.md", "docs/*.md", "*.yaml", "deploy/*.yaml", "deploy/*.sh", "deploy/lib/*.sh", "deploy/terraform/*.tf")
	var found []invocation
	for _, file := range files {
		text := regexp.MustCompile(`\n\s*# ?`).ReplaceAllString(shellBlock.ReplaceAllString(read(t, file), ""), " ")
		for _, match := range codeSpan.FindAllStringSubmatch(text, -1) {
			span, _, cut := strings.Cut(match[1], "…")
			if cut { // in the middle of a word, perhaps
				span = span[:strings.LastIndex(" "+span, " ")]
			}
			span = regexp.MustCompile(`\$[A-Z_]+`).ReplaceAllString(span, unknown)
			found = append(found, invocation{where: file, args: words(span), partial: true})
		}
	}
	return found
}

// words splits a command as a shell does, without expanding anything.
func words(text string) []string {
	var found []string
	for _, match := range regexp.MustCompile(`(?:[^\s'"]|'[^']*'|"[^"]*")+`).FindAllString(text, -1) {
		found = append(found, strings.NewReplacer("'", "", `"`, "").Replace(match))
	}
	return found
}

// goFiles are the product's files of directories, without tests.
func goFiles(t *testing.T, dirs ...string) []string {
	t.Helper()
	var found []string
	for _, dir := range dirs {
		err := filepath.WalkDir(filepath.Join("..", dir), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				found = append(found, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}
