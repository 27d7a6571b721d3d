package config

import "testing"

func TestFindMisspelt(t *testing.T) {
	settings := append(Names(), "CLAIMCHECK_QUEUE", "CLAIMCHECK_ID")
	for name, meant := range map[string]string{
		"DATABASE_ULR": "DATABASE_URL", "DATABASE_URI": "DATABASE_URL", "database_url": "DATABASE_URL", "DATABSE_URL": "DATABASE_URL",
		"TASK_TIMEOUT": "TASKS_TIMEOUT", "TASKS_HANDLER_URL": "TASK_HANDLER_URL", "LOGLEVEL": "LOG_LEVEL", "METRIC": "METRICS",
		"JOB_NAME": "JOBS_NAME", "TASKS_LOCATION": "CLOUD_TASKS_LOCATION", "CLAIMCHECK_DATABASE_URL": "DATABASE_URL",
		"CLAIMCHECK_QUEUES": "CLAIMCHECK_QUEUE", "TASKS_XYZZY_PLUGH": "", "CLOUD_TASKS_KMS_KEY_RING": "",
	} {
		if found := findMisspelt(Environment{name: "x"}, settings, nil); len(found) != 1 || found[0].Name != name || found[0].Meant != meant {
			t.Errorf("%s: %v, want %q", name, found, meant)
		}
		if found := findMisspelt(Environment{name: "x"}, settings, []string{name}); len(found) != 0 {
			t.Errorf("%s: an exception is warned about: %v", name, found)
		}
	}
	innocent := []string{
		"PATH=/bin", "HOME=/root", "PORT=8080", "K_SERVICE=x", "K_REVISION=x", "K_CONFIGURATION=x", "GAE_ENV=standard", "GAE_SERVICE=x",
		"CLOUD_RUN_JOB=x", "CLOUD_RUN_REGION=x", "CLOUD_RUN_TASK_INDEX=0", "CLOUD_RUN_TASK_COUNT=1", "CLOUD_RUN_EXECUTION=x", "CLOUD_RUN_WORKER_POOL=x",
		"GOOGLE_CLOUD_PROJECT=x", "GOOGLE_APPLICATION_CREDENTIALS=x", "OTEL_SERVICE_NAME=x", "PGHOST=x", "PGPASSWORD=x", "DATABASE_HOST=x", "DATABASE_USER=x",
		"JENKINS_URL=x", "JOB_NAME=x", "KUBERNETES_SERVICE_HOST=10.0.0.1", "TASKS_SERVICE_HOST=10.0.0.2", "TASKS_PORT=tcp://10.0.0.2:80",
		"TASKS_PORT_80_TCP_ADDR=10.0.0.2", "CLAIMCHECK_SERVICE_PORT_HTTP=80", "CLAIMCHECK_TEST_POSTGRES=x", "METEOR=x", "MATRICS_X=x",
	}
	for _, name := range settings {
		innocent = append(innocent, name+"=x")
	}
	if found := findMisspelt(ParseEnvironment(innocent), settings, nil); len(found) != 0 {
		t.Errorf("warned about: %v", found)
	}
}
