package deploy_test

import (
	"debug/buildinfo"
	"debug/elf"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

func TestBinaryIsStaticAndNamesNoPathOfItsBuilder(t *testing.T) {
	file, err := elf.Open(server(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP || program.Type == elf.PT_DYNAMIC {
			t.Errorf("it is linked dynamically: %s", program.Type)
		}
	}
	if file.Section(".debug_info") != nil || file.Section(".symtab") != nil {
		t.Error("it is not stripped")
	}
	info, err := buildinfo.ReadFile(server(t))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-trimpath" && s.Value == "true" }) {
		t.Errorf("built without -trimpath: %v", info.Settings)
	}
}

func TestImageHasTheBinaryAndDoesNotRunAsRoot(t *testing.T) {
	text := read(t, "Dockerfile")
	var instructions []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			instructions = append(instructions, line)
		}
	}
	index := func(instruction string) int {
		i := slices.IndexFunc(instructions, func(line string) bool {
			// A digest may be pinned.
			return regexp.MustCompile(`@sha256:[0-9a-f]{64}`).ReplaceAllString(line, "") == instruction
		})
		if i < 0 {
			t.Fatalf("the Dockerfile has no %s", instruction)
		}
		return i
	}
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod"))[1]
	build, modules, code := index("FROM golang:"+goVersion+" AS build"), index("COPY go.mod go.sum ./"), index("COPY . .")
	final := index("FROM gcr.io/distroless/static-debian13:nonroot")
	if build >= modules || modules+1 >= code || code >= final || !strings.HasPrefix(instructions[modules+1], "RUN go mod download") {
		t.Errorf("modules are not downloaded before the code is copied, or the stages are in another order:\n%s", text)
	}
	for _, instruction := range []string{"COPY --from=build /out/server /server", "USER 65532:65532", `ENTRYPOINT ["/server"]`} {
		if index(instruction) < final {
			t.Errorf("%s is not in the last stage", instruction)
		}
	}
	// Arguments of a build stay in the image: only its version and its commit are given.
	if got := all(`(?m)^ARG ([A-Z]+)=`, text); !slices.Equal(got, []string{"REVISION", "VERSION"}) || strings.Count(text, "ARG ") != 4 {
		t.Errorf("the arguments are %q", got)
	}
	for _, label := range []string{"version", "revision", "licenses", "source", "title"} {
		if at := strings.Index(text, "org.opencontainers.image."+label+"="); at < strings.Index(text, "FROM gcr.io") {
			t.Errorf("the image has no label %s", label)
		}
	}
	if regexp.MustCompile(`(?i)ENV .*(token|secret|password)`).MatchString(text) {
		t.Error("what is given to a build stays in the image")
	}
}

// What .dockerignore leaves out must not be needed by the build, and what must
// not get into an image must be left out.
func TestBuildContextHasTheCodeAndNoSecrets(t *testing.T) {
	var patterns []string
	for line := range strings.Lines(read(t, ".dockerignore")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			patterns = append(patterns, line)
		}
	}
	ignored := func(file string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			if rest, anywhere := strings.CutPrefix(pattern, "**/"); anywhere {
				return slices.ContainsFunc(strings.Split(file, "/"), func(part string) bool { ok, _ := path.Match(rest, part); return ok })
			}
			ok, _ := path.Match(pattern, strings.Split(file, "/")[0])
			return ok
		})
	}
	got := run(t, os.Environ(), "go", "list", "-deps", "-f", `{{if not .Standard}}{{if .Module}}{{if .Module.Main}}{{$d := .ImportPath}}{{range .GoFiles}}{{$d}}/{{.}}
{{end}}{{range .EmbedFiles}}{{$d}}/{{.}}
{{end}}{{end}}{{end}}{{end}}`, "./cmd/server")
	files := strings.Fields(strings.ReplaceAll(got.stdout, "github.com/claimcheck-go/claimcheck/", ""))
	if got.status != 0 || len(files) < 50 {
		t.Fatalf("%d %s%s", got.status, got.stdout, got.stderr)
	}
	for _, file := range append(files, "go.mod", "go.sum") {
		// It is there; and go, which remembers results, sees the server change.
		if _, err := os.Stat(filepath.Join("..", file)); err != nil {
			t.Error(err)
		}
		if ignored(file) {
			t.Errorf("the build needs %s, which is left out", file)
		}
	}
	for _, file := range []string{".git/config", "claimcheck.db", "claimcheck.db-wal", "bin/server", "app-production.yaml", "queue/task_test.go"} {
		if !ignored(file) {
			t.Errorf("%s gets into the build", file)
		}
	}
}
