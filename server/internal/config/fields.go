package config

import (
	"errors"
	"strings"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/oidc"
	"github.com/claimcheck-go/claimcheck/server/webhook"
)

// fieldSettings are the settings that fill the fields of the packages below, which
// name their own fields in errors.
var fieldSettings = map[string]string{
	"cloudtasks.Project":               "CLOUD_TASKS_PROJECT",
	"cloudtasks.Location":              "CLOUD_TASKS_LOCATION",
	"cloudtasks.HandlerURL":            "TASK_HANDLER_URL",
	"cloudtasks.AppEngine.HandlerPath": "TASK_HANDLER_PATH",
	"cloudtasks.ServiceAccountEmail":   "OIDC_SERVICE_ACCOUNT_EMAIL",
	"cloudtasks.QueueAliases":          "TASKS_QUEUE_ALIASES",
	"oidc.Config.Audiences":            "OIDC_AUDIENCE",
	"oidc.Config.Emails":               "OIDC_SERVICE_ACCOUNT_EMAIL",
	"oidc.Config.Issuer":               "OIDC_ISSUER",
	"oidc.Config.CertsURL":             "OIDC_CERTS_URL",
	"oidc.IAPConfig.Audiences":         "IAP_AUDIENCE",
	"webhook.Secret":                   "WEBHOOK_SECRET",
	"webhook.AllowHosts":               "WEBHOOK_ALLOW_HOSTS",
}

// FromFields returns the problems of the settings that fill the fields of which
// err complains. Any other error is returned as it is.
func FromFields(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var problems []error
		for _, one := range joined.Unwrap() {
			problems = append(problems, FromFields(one))
		}
		return errors.Join(problems...)
	}
	var (
		tasks *cloudtasks.ConfigError
		token *oidc.ConfigError
		hook  *webhook.ConfigError
	)
	switch {
	case errors.As(err, &tasks):
		return fieldProblem("cloudtasks."+tasks.Field, tasks.Text)
	case errors.As(err, &token):
		return fieldProblem("oidc."+token.Field, token.Text)
	case errors.As(err, &hook):
		return fieldProblem("webhook."+hook.Field, ": "+hook.Text)
	}
	return err
}

func fieldProblem(field, text string) error {
	text = strings.ReplaceAll(text, "Config.CertsURL", fieldSettings["oidc.Config.CertsURL"]) // named beside the issuer
	return Problemf(fieldSettings[field], "%s", text)
}
