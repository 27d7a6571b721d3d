package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/claimcheck-go/claimcheck/queue/mysqlstore"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// variables are all that the server reads, and what the platforms set.
func variables(f *testing.F) []string {
	parser, err := kong.New(&grammar{}, config.NewSources(nil, nil).Options()...)
	if err != nil {
		f.Fatal(err)
	}
	names := []string{"PORT", "K_SERVICE", "CLOUD_RUN_JOB", "GAE_APPLICATION", "GAE_SERVICE", "GAE_VERSION", "GAE_ENV", "GOOGLE_CLOUD_PROJECT", "CLOUD_RUN_REGION"}
	for _, node := range append(parser.Model.Children, parser.Model.Node) {
		for _, flag := range node.Flags {
			names = append(names, flag.Envs...)
		}
	}
	return names
}

// Whatever three variables hold, and whatever is on the command line: no
// panic, nothing served to strangers, and what is wrong is said in one line. The
// settings are read and validated as serve does; nothing is opened.
func FuzzSettings(f *testing.F) {
	names := variables(f)
	metadata := httptest.NewServer(http.NotFoundHandler()) // it knows nothing, but at once
	f.Cleanup(metadata.Close)
	number := func(name string) uint8 {
		for i := range names {
			if names[i] == name {
				return uint8(i) //nolint:gosec // there are some dozens
			}
		}
		f.Fatalf("there is no variable %s", name)
		return 0
	}
	f.Add(number("TASKS_MODE"), "cloudtasks", number("CLOUD_TASKS_EMULATOR_HOST"), "localhost:8123", number("TASK_HANDLER_URL"), "http://x/{task_id}", "")
	f.Add(number("TASKS_LEASE"), "-1s", number("TASKS_MAX_BODY"), "1e30", number("DB_MAX_CONNS"), "0x10", "--listen=:99999")
	f.Add(number("K_SERVICE"), "api", number("PORT"), "http", number("DATABASE_URL"), "postgres://u:p%zz@h/d", "serv")
	f.Add(number("TASKS_QUEUE_ALIASES"), "a=b,=,c", number("OIDC_AUDIENCE"), ",,", number("TASK_HMAC_SECRET"), " ", "-5")
	f.Add(number("GAE_APPLICATION"), "s~x:y", number("APP_ENGINE_TARGET"), "yes", number("TASK_HANDLER_PATH"), "{task_id}", "--x=\n")
	f.Add(number("OIDC_CERTS_URL"), "file:///x", number("OIDC_ISSUER"), "x\ny", number("WEBHOOK_SECRET"), "whsec_?", "purge -- --days")
	f.Fuzz(func(t *testing.T, n1 uint8, v1 string, n2 uint8, v2 string, n3 uint8, v3 string, words string) {
		if strings.Contains(v1+v2+v3, "\x00") {
			return // no environment holds that
		}
		env := map[string]string{"GCE_METADATA_HOST": strings.TrimPrefix(metadata.URL, "http://")}
		for name, value := range map[string]string{names[int(n1)%len(names)]: v1, names[int(n2)%len(names)]: v2, names[int(n3)%len(names)]: v3} {
			env[name] = value
		}
		p, command, err := parsed(env, append([]string{"serve"}, strings.Fields(words)...))
		if err == nil && command == "serve" {
			err = validated(t, p)
		}
		if err != nil && (oneLine(err) == "" || strings.Contains(oneLine(err), "\n")) {
			t.Errorf("%q: not one line: %q", env, oneLine(err))
		}
	})
}

// parsed is the command line and the environment as main reads them.
func parsed(env map[string]string, args []string) (p *program, command string, err error) {
	var g grammar
	exited := false
	sources := config.NewSources(args, env)
	parser, err := kong.New(&g, append(sources.Options(),
		kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) { exited = true }))...)
	if err != nil {
		return nil, "", err
	}
	found, err := sources.Parse(parser)
	if exited {
		return nil, "", nil // --help
	}
	if err != nil {
		return nil, "", errors.New(sources.Describe(explain(err, parser.Model.Children, sources.Args())))
	}
	if err := sources.CheckBlank(found); err != nil {
		return nil, "", err
	}
	return &program{own: Config{Tasks: testTasks}, known: testRegistry, config: &config.Config{Settings: &g.Settings, Env: env}, stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}, found.Command(), nil
}

// validated is what serve finds wrong with the settings before it opens anything.
func validated(t *testing.T, p *program) error {
	t.Helper()
	app, err := p.plan(context.Background(), true, true)
	if err != nil {
		return err
	}
	listen := (&serveCmd{}).listen(p)
	if err := checkListen(listen); err != nil {
		return err
	}
	auth, err := p.authenticator(app, listen)
	if err != nil {
		return err
	}
	s := p.config.Settings
	if auth == httpapi.LoopbackOnly() && (app.mode != config.ModeLocal || strings.TrimSpace(s.TaskAPIToken+s.TaskHMACSecret) != "") {
		t.Errorf("open to the machine: %+v", s)
	}
	return nil
}

// What a log line says of the database's URL never holds a part of the password,
// however it was written, if the store takes the URL at all.
func FuzzDescribeDatabase(f *testing.F) {
	const marker = "Xq7Secret"
	f.Add("postgres", "", "", "db.example:5432", "tasks", "sslmode=disable")
	f.Add("mysql", "/", "?#", "db", "tasks", "")
	f.Add("postgresql", "?a=", "&host=", "", "tasks", "host=/tmp")
	f.Add("mysql", "12@", "%2F", "[::1]", "", "socket=/tmp/x")
	f.Fuzz(func(t *testing.T, scheme, before, after, host, name, query string) {
		if strings.Contains(scheme+host+name+query, marker) {
			return
		}
		for _, password := range []string{before + marker + after, url.QueryEscape(before + marker + after)} {
			raw := scheme + "://app:" + password + "@" + host + "/" + name + "?" + query
			if (pgstore.Config{URL: raw}).Validate() != nil && (mysqlstore.Config{URL: raw}).Validate() != nil {
				continue
			}
			if said := stores.Describe(raw); strings.Contains(said, marker) {
				t.Errorf("%q is described as %q", raw, said)
			}
		}
	})
}
