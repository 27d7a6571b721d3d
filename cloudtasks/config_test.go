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

// configErrors takes apart the error of New.
func configErrors(t *testing.T, err error) (all []*ConfigError) {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("err = %v, want joined errors", err)
	}
	for _, one := range joined.Unwrap() {
		var problem *ConfigError
		if !errors.As(one, &problem) {
			t.Fatalf("%v is no *ConfigError", one)
		}
		all = append(all, problem)
	}
	return all
}

func TestNewNamesEverythingMissingAtOnce(t *testing.T) {
	_, err := New(nil, Config{})
	problems := configErrors(t, err)
	for _, field := range []string{"Project", "Location", "HandlerURL", "ServiceAccountEmail"} {
		if !strings.Contains(err.Error(), "cloudtasks: Config."+field+" is not set (it takes ") {
			t.Errorf("%q does not say what %s takes", err, field)
		}
	}
	if len(problems) != 4 {
		t.Errorf("want four problems, got %q", err)
	}
}

func TestNewRefusesWrongFields(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		field  string
		says   string
	}{
		{"project", func(c *Config) { c.Project = "acme prod" }, "Project", "acme prod"},
		{"location", func(c *Config) { c.Location = "projects/1/regions/europe-west1" }, "Location", "europe-west1"},
		{"account", func(c *Config) { c.ServiceAccountEmail = "tasks" }, "ServiceAccountEmail", "e-mail"},
		{"two accounts", func(c *Config) { c.ServiceAccountEmail = "a@x,b@x" }, "ServiceAccountEmail", "one e-mail"},
		{"alias", func(c *Config) { c.QueueAliases = map[string][]string{"emails": {"prod_emails"}} }, "QueueAliases", "prod_emails"},
		{"second alias", func(c *Config) { c.QueueAliases = map[string][]string{"emails": {"a", ""}} }, "QueueAliases", `maps "emails" to ""`},
		{"alias twice", func(c *Config) { c.QueueAliases = map[string][]string{"emails": {"a", "b", "a"}} }, "QueueAliases", `maps "emails" to "a" twice`},
		{"alias of nothing", func(c *Config) { c.QueueAliases = map[string][]string{"emails": {}} }, "QueueAliases", "emails=QUEUE"},
		{"too many aliases", func(c *Config) { c.QueueAliases = map[string][]string{"emails": shardNames(201)} }, "QueueAliases", "201 Cloud Tasks queues (at most 200"},
		{"no placeholder", func(c *Config) { c.HandlerURL = "https://host/tasks/execute/" }, "HandlerURL", "{task_id}"},
		{"two placeholders", func(c *Config) { c.HandlerURL += "{task_id}" }, "HandlerURL", "once"},
		{"placeholder in the host", func(c *Config) { c.HandlerURL = "https://{task_id}.host/" }, "HandlerURL", "full URL"},
		{"query", func(c *Config) { c.HandlerURL += "?fail_on_error=false" }, "HandlerURL", "leave out"},
		{"empty query", func(c *Config) { c.HandlerURL += "?" }, "HandlerURL", "leave out"},
		{"fragment", func(c *Config) { c.HandlerURL += "#x" }, "HandlerURL", "leave out"},
		{"password", func(c *Config) { c.HandlerURL = "https://me:secret@host/{task_id}" }, "HandlerURL", "password"},
		{"relative", func(c *Config) { c.HandlerURL = "/tasks/execute/{task_id}/" }, "HandlerURL", "full URL"},
		{"scheme", func(c *Config) { c.HandlerURL = "ftp://host/{task_id}" }, "HandlerURL", "full URL"},
		{"http", func(c *Config) { c.HandlerURL = "http://host/{task_id}" }, "HandlerURL", "use https"},
		{"space", func(c *Config) { c.HandlerURL = "https://host/a b/{task_id}" }, "HandlerURL", "no space"},
		{"long", func(c *Config) { c.HandlerURL += strings.Repeat("x", 2000) }, "HandlerURL", "2083"},
		{"App Engine path", func(c *Config) { c.AppEngine = &AppEngineTarget{HandlerPath: "tasks/{task_id}"} }, "AppEngine.HandlerPath", "begin with /"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := testConfig()
			test.change(&cfg)
			_, err := New(nil, cfg)
			problems := configErrors(t, err)
			if len(problems) != 1 {
				t.Fatalf("err = %v, want one problem", err)
			}
			if problems[0].Field != test.field || !strings.Contains(problems[0].Text, test.says) {
				t.Errorf("%+v is not of %s, or does not say %q", problems[0], test.field, test.says)
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
		if err == nil || !strings.Contains(err.Error(), `"`+name+`"`) || !strings.Contains(err.Error(), "give it an alias") {
			t.Errorf("%q: %v; want an error that names it and the fix", name, err)
		}
	}
}
