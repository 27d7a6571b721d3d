package server

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"cloud.google.com/go/iam/apiv1/iampb"
	run "cloud.google.com/go/run/apiv2"
	"cloud.google.com/go/run/apiv2/runpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// grantMend gives the database's user the rights that the server needs.
const grantMend = "GRANT SELECT, INSERT, UPDATE, DELETE on the claimcheck_ tables to the user of DATABASE_URL"

// checkRights reports whether the database's user may write to the tables.
func (e *examination) checkRights(ctx context.Context) doctor.Finding {
	if e.db == nil || strings.HasSuffix(e.config.Settings.DatabaseURL, ":memory:") {
		return doctor.Skipf("there is no database yet")
	}
	db, err := stores.As[stores.RightsChecker](e.db)
	if err != nil {
		return doctor.Skipf("%s", err)
	}
	missing, err := db.MissingRights(ctx)
	switch {
	case err != nil:
		return doctor.Failf("let this user write to the tables", "%s", err)
	case len(missing) > 0:
		return doctor.Failf(grantMend, "this user lacks %s", strings.Join(missing, ", "))
	}
	return doctor.Okf("this user may read and write the tables")
}

// quickSize is the largest SQLite file that is looked through without being asked.
const quickSize = 256 << 20

// checkIntegrity looks through an SQLite file.
func (e *examination) checkIntegrity(ctx context.Context) doctor.Finding {
	path := stores.FilePath(e.config.Settings.DatabaseURL)
	if info, err := os.Stat(path); err == nil && info.Size() > quickSize && !e.cmd.Integrity {
		return doctor.Skipf("%s has %d MiB; --integrity looks through it", path, info.Size()>>20)
	}
	db, err := stores.As[stores.IntegrityChecker](e.db)
	if err != nil {
		return doctor.Skipf("%s", err)
	}
	problems, err := db.CheckIntegrity(ctx, e.cmd.Integrity)
	const fix = "restore a backup, or try: sqlite3 FILE .recover"
	switch {
	case err != nil:
		return doctor.Failf(fix, "%s", err)
	case len(problems) > 0:
		return doctor.Failf(fix, "the file is damaged: %s", strings.Join(problems, "; "))
	case e.cmd.Integrity:
		return doctor.Okf("integrity_check found nothing")
	}
	return doctor.Okf("quick_check found nothing (--integrity compares indexes with tables too)")
}

// checkQueueTarget warns of queues that send their tasks elsewhere.
func (e *examination) checkQueueTarget(context.Context) doctor.Finding {
	if len(e.queues) == 0 {
		return doctor.Skipf("no queue could be looked at")
	}
	at := fmt.Sprintf(" --location=%s --project=%s", e.config.Settings.CloudTasksLocation, e.config.Settings.CloudTasksProject)
	var bad, fixes []string
	for _, q := range e.queues {
		id := lastPart(q.GetName())
		if text := redirection(q.GetHttpTarget()); text != "" && e.target.Tasks.AppEngine == nil {
			bad = append(bad, id+" "+text)
			fixes = append(fixes, "gcloud tasks queues update "+id+at+" --clear-http-uri-override --clear-http-oidc-service-account-email-override --clear-http-oidc-token-audience-override --clear-http-method-override")
		}
		if r := q.GetAppEngineRoutingOverride(); r.GetHost()+r.GetService()+r.GetVersion()+r.GetInstance() != "" && e.target.Tasks.AppEngine != nil {
			bad = append(bad, fmt.Sprintf("%s sends every delivery to %s %s %s of App Engine", id, r.GetService(), r.GetVersion(), r.GetInstance()))
			fixes = append(fixes, "gcloud tasks queues update "+id+at+" --clear-routing-override")
		}
	}
	if len(bad) > 0 {
		return doctor.Failf(strings.Join(fixes, "; "), "%s", strings.Join(bad, "; "))
	}
	return doctor.Okf("no queue has a target of its own")
}

// redirection says what a queue's HTTP target changes about a delivery; empty:
// nothing.
func redirection(t *cloudtaskspb.HttpTarget) string {
	var changes []string
	if u := t.GetUriOverride(); u != nil && u.GetUriOverrideEnforceMode() != cloudtaskspb.UriOverride_IF_NOT_EXISTS {
		if u.Host != nil || u.Port != nil || u.Scheme != nil {
			changes = append(changes, fmt.Sprintf("sends every delivery to %s:%d (uriOverride)", u.GetHost(), u.GetPort()))
		}
		if u.PathOverride != nil {
			changes = append(changes, fmt.Sprintf("to the path %q", u.GetPathOverride().GetPath()))
		}
		if u.QueryOverride != nil {
			changes = append(changes, fmt.Sprintf("with the query %q", u.GetQueryOverride().GetQueryParams()))
		}
	}
	if m := t.GetHttpMethod(); m != cloudtaskspb.HttpMethod_HTTP_METHOD_UNSPECIFIED && m != cloudtaskspb.HttpMethod_POST {
		changes = append(changes, "with the method "+m.String())
	}
	if token := t.GetOidcToken(); token != nil {
		changes = append(changes, fmt.Sprintf("signs every delivery as %s for %q", token.GetServiceAccountEmail(), token.GetAudience()))
	}
	if t.GetOauthToken() != nil {
		changes = append(changes, "sends OAuth tokens")
	}
	return strings.Join(changes, ", ")
}

// dialServices makes the client of Cloud Run's services; tests make another.
var dialServices = func(ctx context.Context) (*run.ServicesClient, error) { return run.NewServicesClient(ctx) }

// cloudRunService is the full name of the service that handles deliveries, as far
// as its URL or the platform tells.
func (e *examination) cloudRunService() string {
	u, err := url.Parse(cloudtasks.WithoutTag(e.config.Settings.TaskHandlerURL))
	if err != nil {
		return ""
	}
	label, rest, _ := strings.Cut(u.Hostname(), ".")
	region, ok := strings.CutSuffix(rest, ".run.app")
	dash := strings.LastIndexByte(label, '-')
	switch {
	case ok && dash > 0 && isNumber(label[dash+1:]) && !strings.Contains(region, "."):
		return fmt.Sprintf("projects/%s/locations/%s/services/%s", label[dash+1:], region, label[:dash])
	case e.detector.Platform() == detect.CloudRunService:
		return fmt.Sprintf("projects/%s/locations/%s/services/%s", e.config.Settings.CloudTasksProject, e.config.Settings.CloudTasksLocation, e.config.Env.Get("K_SERVICE"))
	}
	return ""
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// checkInvoker reports whether Cloud Run's IAM lets deliveries in.
func (e *examination) checkInvoker(ctx context.Context) doctor.Finding {
	name := e.cloudRunService()
	if name == "" {
		return doctor.Skipf("the handler's URL names no Cloud Run service")
	}
	parts := strings.Split(name, "/")
	at := fmt.Sprintf("%s --region=%s --project=%s", parts[5], parts[3], e.config.Settings.CloudTasksProject)
	unseen := func(err error) doctor.Finding {
		return doctor.Warnf(fmt.Sprintf("gcloud run services add-iam-policy-binding %s --member=serviceAccount:%s --role=roles/run.viewer, which only doctor needs; or --deliver", at, e.account()),
			"could not check whether %s may call %s: %s", e.signer(), name, status.Convert(err).Message())
	}
	client, err := e.dialServices(ctx)
	if err != nil {
		return unseen(err)
	}
	defer func() { _ = client.Close() }()
	service, err := client.GetService(ctx, &runpb.GetServiceRequest{Name: name}, gax.WithRetry(nil))
	switch {
	case status.Code(err) == codes.NotFound:
		return doctor.Failf("deploy it, or correct TASK_HANDLER_URL", "there is no Cloud Run service %s", name)
	case err != nil:
		return unseen(err)
	case service.GetInvokerIamDisabled():
		return doctor.Okf("%s does not ask IAM; the server judges the tokens", name)
	}
	policy, err := client.GetIamPolicy(ctx, &iampb.GetIamPolicyRequest{Resource: name}, gax.WithRetry(nil))
	if err != nil {
		return unseen(err)
	}
	for _, binding := range policy.GetBindings() {
		if !slices.Contains([]string{"roles/run.invoker", "roles/run.servicesInvoker", "roles/run.admin"}, binding.GetRole()) || binding.GetCondition() != nil {
			continue
		}
		for _, member := range []string{"serviceAccount:" + e.signer(), "allUsers", "allAuthenticatedUsers"} {
			if slices.Contains(binding.GetMembers(), member) {
				return doctor.Okf("%s gives %s to %s", name, binding.GetRole(), member)
			}
		}
	}
	return doctor.Failf(fmt.Sprintf("gcloud run services add-iam-policy-binding %s --member=serviceAccount:%s --role=roles/run.invoker", at, e.signer()),
		"%s asks IAM who calls, and gives %s no roles/run.invoker: deliveries are answered 403, unless the project's own policy gives it", name, e.signer())
}
