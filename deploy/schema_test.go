package deploy_test

import (
	"bytes"
	"io"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The types below are the schemas of the manifests, as far as these use them: a
// field that is not listed, one in the wrong place and one of the wrong type are
// errors, since the platforms pass over or refuse them only when it is deployed.

// knativeService is https://cloud.google.com/run/docs/reference/yaml/v1.
type knativeService struct {
	APIVersion string          `yaml:"apiVersion"`
	Kind       string          `yaml:"kind"`
	Metadata   knativeMetadata `yaml:"metadata"`
	Spec       struct {
		Template struct {
			Metadata knativeMetadata `yaml:"metadata"`
			Spec     struct {
				ServiceAccountName   string             `yaml:"serviceAccountName"`
				ContainerConcurrency int                `yaml:"containerConcurrency"`
				TimeoutSeconds       int                `yaml:"timeoutSeconds"`
				Containers           []knativeContainer `yaml:"containers"`
			} `yaml:"spec"`
		} `yaml:"template"`
		Traffic []struct {
			RevisionName   string `yaml:"revisionName"`
			LatestRevision bool   `yaml:"latestRevision"`
			Percent        int    `yaml:"percent"`
			Tag            string `yaml:"tag"`
		} `yaml:"traffic"`
	} `yaml:"spec"`
}

// workerPool and cloudRunJob are of the same reference.
type workerPool struct {
	APIVersion string          `yaml:"apiVersion"`
	Kind       string          `yaml:"kind"`
	Metadata   knativeMetadata `yaml:"metadata"`
	Spec       struct {
		Template struct {
			Metadata knativeMetadata `yaml:"metadata"`
			Spec     struct {
				ServiceAccountName string             `yaml:"serviceAccountName"`
				Containers         []knativeContainer `yaml:"containers"`
			} `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

type cloudRunJob struct {
	APIVersion string          `yaml:"apiVersion"`
	Kind       string          `yaml:"kind"`
	Metadata   knativeMetadata `yaml:"metadata"`
	Spec       struct {
		Template struct {
			Metadata knativeMetadata `yaml:"metadata"`
			Spec     struct {
				TaskCount   int `yaml:"taskCount"`
				Parallelism int `yaml:"parallelism"`
				Template    struct {
					Spec struct {
						ServiceAccountName string             `yaml:"serviceAccountName"`
						MaxRetries         int                `yaml:"maxRetries"`
						TimeoutSeconds     int                `yaml:"timeoutSeconds"`
						Containers         []knativeContainer `yaml:"containers"`
					} `yaml:"spec"`
				} `yaml:"template"`
			} `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

type knativeMetadata struct {
	Name        string            `yaml:"name"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

type knativeContainer struct {
	Image   string   `yaml:"image"`
	Command []string `yaml:"command"`
	Args    []string `yaml:"args"`
	Ports   []struct {
		Name          string `yaml:"name"`
		ContainerPort int    `yaml:"containerPort"`
	} `yaml:"ports"`
	Resources struct {
		Limits map[string]string `yaml:"limits"`
	} `yaml:"resources"`
	Env []struct {
		Name      string `yaml:"name"`
		Value     string `yaml:"value"`
		ValueFrom *struct {
			SecretKeyRef struct {
				Name string `yaml:"name"`
				Key  string `yaml:"key"`
			} `yaml:"secretKeyRef"`
		} `yaml:"valueFrom"`
	} `yaml:"env"`
	StartupProbe  knativeProbe `yaml:"startupProbe"`
	LivenessProbe knativeProbe `yaml:"livenessProbe"`
}

type knativeProbe struct {
	HTTPGet struct {
		Path string `yaml:"path"`
		Port int    `yaml:"port"`
	} `yaml:"httpGet"`
	InitialDelaySeconds int `yaml:"initialDelaySeconds"`
	PeriodSeconds       int `yaml:"periodSeconds"`
	TimeoutSeconds      int `yaml:"timeoutSeconds"`
	FailureThreshold    int `yaml:"failureThreshold"`
}

// appConfig is https://cloud.google.com/appengine/docs/standard/reference/app-yaml.
type appConfig struct {
	Runtime          string `yaml:"runtime"`
	Main             string `yaml:"main"`
	Service          string `yaml:"service"`
	ServiceAccount   string `yaml:"service_account"`
	InstanceClass    string `yaml:"instance_class"`
	AutomaticScaling struct {
		MinInstances          int `yaml:"min_instances"`
		MaxInstances          int `yaml:"max_instances"`
		MaxConcurrentRequests int `yaml:"max_concurrent_requests"`
	} `yaml:"automatic_scaling"`
	EnvVariables map[string]string `yaml:"env_variables"`
	Handlers     []struct {
		URL    string `yaml:"url"`
		Script string `yaml:"script"`
		Secure string `yaml:"secure"`
	} `yaml:"handlers"`
}

// cronConfig is https://cloud.google.com/appengine/docs/standard/reference/cron-yaml.
type cronConfig struct {
	Cron []struct {
		Description     string `yaml:"description"`
		URL             string `yaml:"url"`
		Schedule        string `yaml:"schedule"`
		Timezone        string `yaml:"timezone"`
		Target          string `yaml:"target"`
		RetryParameters struct {
			JobRetryLimit     int `yaml:"job_retry_limit"`
			MinBackoffSeconds int `yaml:"min_backoff_seconds"`
		} `yaml:"retry_parameters"`
	} `yaml:"cron"`
}

// queueConfig is https://cloud.google.com/appengine/docs/standard/reference/queue-yaml.
type queueConfig struct {
	Queue []struct {
		Name                  string `yaml:"name"`
		Rate                  string `yaml:"rate"`
		BucketSize            int    `yaml:"bucket_size"`
		MaxConcurrentRequests int    `yaml:"max_concurrent_requests"`
		RetryParameters       struct {
			TaskRetryLimit    *int    `yaml:"task_retry_limit"`
			TaskAgeLimit      *string `yaml:"task_age_limit"`
			MinBackoffSeconds int     `yaml:"min_backoff_seconds"`
			MaxBackoffSeconds int     `yaml:"max_backoff_seconds"`
			MaxDoublings      int     `yaml:"max_doublings"`
		} `yaml:"retry_parameters"`
	} `yaml:"queue"`
}

// buildConfig is https://cloud.google.com/build/docs/build-config-file-schema.
type buildConfig struct {
	Substitutions map[string]string `yaml:"substitutions"`
	Steps         []struct {
		ID         string   `yaml:"id"`
		Name       string   `yaml:"name"`
		WaitFor    []string `yaml:"waitFor"`
		Entrypoint string   `yaml:"entrypoint"`
		Args       []string `yaml:"args"`
		Timeout    string   `yaml:"timeout"`
	} `yaml:"steps"`
	Timeout string `yaml:"timeout"`
	Options struct {
		Logging              string   `yaml:"logging"`
		MachineType          string   `yaml:"machineType"`
		DynamicSubstitutions bool     `yaml:"dynamicSubstitutions"`
		Env                  []string `yaml:"env"`
	} `yaml:"options"`
}

// decode reads the one document of a manifest, strictly.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var value T
	decoder := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	if err := decoder.Decode(new(any)); err != io.EOF {
		t.Fatalf("more than one document: %v", err)
	}
	return value
}
