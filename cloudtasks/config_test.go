package cloudtasks

import (
	"errors"
	"strings"
	"testing"
)

// testConfig is a Config with nothing wrong.
func testConfig() Config {
	return Config{
		Project:             "acme-prod",
		Location:            "europe-west1",
		HandlerURL:          "https://worker-123.europe-west1.run.app/tasks/execute/{task_id}/",
		ServiceAccountEmail: "tasks@acme-prod.iam.gserviceaccount.com",
		QueueAliases:        map[string][]string{"emails": {"prod-emails"}},
	}
}

func TestNewNamesEverythingMissingAtOnce(t *testing.T) {
	_, err := New(nil, Config{})
	var problems *ConfigError
	if !errors.As(err, &problems) {
		t.Fatalf("err = %v, want a *ConfigError", err)
	}
	for _, setting := range []string{"CLOUD_TASKS_PROJECT", "CLOUD_TASKS_LOCATION", "TASK_HANDLER_URL", "OIDC_SERVICE_ACCOUNT_EMAIL"} {
		if !strings.Contains(err.Error(), setting+" is not set (it takes ") {
			t.Errorf("%q does not say what %s takes", err, setting)
		}
	}
	if len(problems.Problems) != 4 || strings.Contains(err.Error(), "\n") {
		t.Errorf("want one line with four problems, got %q", err)
	}
}

func TestNewRefusesWrongSettings(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*Config)
		setting string
		says    string
	}{
		{"project", func(c *Config) { c.Project = "acme prod" }, "CLOUD_TASKS_PROJECT", "acme prod"},
		{"location", func(c *Config) { c.Location = "projects/1/regions/europe-west1" }, "CLOUD_TASKS_LOCATION", "europe-west1"},
		{"account", func(c *Config) { c.ServiceAccountEmail = "tasks" }, "OIDC_SERVICE_ACCOUNT_EMAIL", "e-mail"},
		{"two accounts", func(c *Config) { c.ServiceAccountEmail = "a@x,b@x" }, "OIDC_SERVICE_ACCOUNT_EMAIL", "one e-mail"},
		{"alias", func(c *Config) { c.QueueAliases = map[string][]string{"emails": {"prod_emails"}} }, "TASKS_QUEUE_ALIASES", "prod_emails"},
		{"second alias", func(c *Config) { c.QueueAliases = map[string][]string{"emails": {"a", ""}} }, "TASKS_QUEUE_ALIASES", `maps "emails" to ""`},
		{"alias twice", func(c *Config) { c.QueueAliases = map[string][]string{"emails": {"a", "b", "a"}} }, "TASKS_QUEUE_ALIASES", `maps "emails" to "a" twice`},
		{"alias of nothing", func(c *Config) { c.QueueAliases = map[string][]string{"emails": {}} }, "TASKS_QUEUE_ALIASES", "emails=QUEUE"},
		{"too many aliases", func(c *Config) { c.QueueAliases = map[string][]string{"emails": shardNames(201)} }, "TASKS_QUEUE_ALIASES", "201 Cloud Tasks queues (at most 200"},
		{"no placeholder", func(c *Config) { c.HandlerURL = "https://host/tasks/execute/" }, "TASK_HANDLER_URL", "{task_id}"},
		{"two placeholders", func(c *Config) { c.HandlerURL += "{task_id}" }, "TASK_HANDLER_URL", "once"},
		{"placeholder in the host", func(c *Config) { c.HandlerURL = "https://{task_id}.host/" }, "TASK_HANDLER_URL", "full URL"},
		{"query", func(c *Config) { c.HandlerURL += "?fail_on_error=false" }, "TASK_HANDLER_URL", "leave out"},
		{"empty query", func(c *Config) { c.HandlerURL += "?" }, "TASK_HANDLER_URL", "leave out"},
		{"fragment", func(c *Config) { c.HandlerURL += "#x" }, "TASK_HANDLER_URL", "leave out"},
		{"password", func(c *Config) { c.HandlerURL = "https://me:secret@host/{task_id}" }, "TASK_HANDLER_URL", "password"},
		{"relative", func(c *Config) { c.HandlerURL = "/tasks/execute/{task_id}/" }, "TASK_HANDLER_URL", "full URL"},
		{"scheme", func(c *Config) { c.HandlerURL = "ftp://host/{task_id}" }, "TASK_HANDLER_URL", "full URL"},
		{"http", func(c *Config) { c.HandlerURL = "http://host/{task_id}" }, "TASK_HANDLER_URL", "use https"},
		{"space", func(c *Config) { c.HandlerURL = "https://host/a b/{task_id}" }, "TASK_HANDLER_URL", "no space"},
		{"long", func(c *Config) { c.HandlerURL += strings.Repeat("x", 2000) }, "TASK_HANDLER_URL", "2083"},
		{"App Engine path", func(c *Config) { c.AppEngine = &AppEngineTarget{HandlerPath: "tasks/{task_id}"} }, "TASK_HANDLER_PATH", "begin with /"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := testConfig()
			test.change(&cfg)
			_, err := New(nil, cfg)
			var problems *ConfigError
			if !errors.As(err, &problems) || len(problems.Problems) != 1 {
				t.Fatalf("err = %v, want one problem", err)
			}
			if !strings.HasPrefix(err.Error(), test.setting+" ") || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%q does not begin with %s and say %q", err, test.setting, test.says)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%q shows the password", err)
			}
		})
	}
}

func TestNewAccepts(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"https":            func(*Config) {},
		"loopback name":    func(c *Config) { c.HandlerURL = "http://localhost:8080/{task_id}" },
		"loopback address": func(c *Config) { c.HandlerURL = "http://[::1]:8080/x/{task_id}/y" },
		"http if allowed":  func(c *Config) { c.HandlerURL, c.AllowHTTP = "http://app:8080/{task_id}/", true },
		"a Cloud Tasks queue of two queues": func(c *Config) {
			c.QueueAliases = map[string][]string{"emails": {"shared"}, "default": {"shared"}}
		},
		"as many aliases as there may be": func(c *Config) { c.QueueAliases = map[string][]string{"emails": shardNames(200)} },
		"project of a domain": func(c *Config) {
			c.Project = "example.com:acme"
		},
		"App Engine without URL and account": func(c *Config) {
			c.HandlerURL, c.ServiceAccountEmail, c.AppEngine = "", "", &AppEngineTarget{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			change(&cfg)
			if _, err := New(nil, cfg); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCheckQueue(t *testing.T) {
	d, err := New(nil, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"default", "emails", "A-1", strings.Repeat("q", 100)} {
		if err := d.CheckQueue(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "high_priority", "a/b", "ü", strings.Repeat("q", 101)} {
		err := d.CheckQueue(name)
		if err == nil || !strings.Contains(err.Error(), `"`+name+`"`) || !strings.Contains(err.Error(), "TASKS_QUEUE_ALIASES") {
			t.Errorf("%q: %v; want an error that names it and the mend", name, err)
		}
	}
}
