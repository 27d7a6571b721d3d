package doctor

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/run/apiv2/runpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// grantFix gives the database's user the rights that the server needs.
const grantFix = "GRANT SELECT, INSERT, UPDATE, DELETE on the claimcheck_ tables to the user of DATABASE_URL"

// checkRights reports whether the database's user may write to the tables.
func (d *Diagnosis) checkRights(ctx context.Context) Finding {
	if d.db == nil || strings.HasSuffix(d.config.Settings.DatabaseURL, ":memory:") {
		return Skipf("there is no database yet")
	}
	db, err := stores.As[stores.RightsChecker](d.db)
	if err != nil {
		return Skipf("%s", err)
	}
	missing, err := db.MissingRights(ctx)
	switch {
	case err != nil:
		return Failf("let this user write to the tables", "%s", err)
	case len(missing) > 0:
		return Failf(grantFix, "this user lacks %s", strings.Join(missing, ", "))
	}
	return Okf("this user may read and write the tables")
}

// quickSize is the largest SQLite file that is checked without --integrity.
const quickSize = 256 << 20

// checkIntegrity checks a SQLite file for damage.
func (d *Diagnosis) checkIntegrity(ctx context.Context) Finding {
	path := stores.FilePath(d.config.Settings.DatabaseURL)
	if info, err := os.Stat(path); err == nil && info.Size() > quickSize && !d.Integrity {
		return Skipf("%s has %d MiB; --integrity checks it", path, info.Size()>>20)
	}
	db, err := stores.As[stores.IntegrityChecker](d.db)
	if err != nil {
		return Skipf("%s", err)
	}
	problems, err := db.CheckIntegrity(ctx, d.Integrity)
	const fix = "restore a backup, or try: sqlite3 FILE .recover"
	switch {
	case err != nil:
		return Failf(fix, "%s", err)
	case len(problems) > 0:
		return Failf(fix, "the file is damaged: %s", strings.Join(problems, "; "))
	case d.Integrity:
		return Okf("integrity_check found nothing")
	}
	return Okf("quick_check found nothing (--integrity compares indexes with tables too)")
}

// checkQueueTarget fails for queues that send their tasks elsewhere.
func (d *Diagnosis) checkQueueTarget(context.Context) Finding {
	if len(d.queues) == 0 {
		return Skipf("no queue could be read")
	}
	var bad, fixes []string
	for _, q := range d.queues {
		id := lastPart(q.GetName())
		if text := redirection(q.GetHttpTarget()); text != "" && d.target.Tasks.AppEngine == nil {
			bad = append(bad, id+" "+text)
			fixes = append(fixes, d.updateQueue(id, "--clear-http-uri-override --clear-http-oidc-service-account-email-override --clear-http-oidc-token-audience-override --clear-http-method-override"))
		}
		if r := q.GetAppEngineRoutingOverride(); r.GetHost()+r.GetService()+r.GetVersion()+r.GetInstance() != "" && d.target.Tasks.AppEngine != nil {
			bad = append(bad, fmt.Sprintf("%s sends every delivery to %s %s %s of App Engine", id, r.GetService(), r.GetVersion(), r.GetInstance()))
			fixes = append(fixes, d.updateQueue(id, "--clear-routing-override"))
		}
	}
	if len(bad) > 0 {
		return Failf(strings.Join(fixes, "; "), "%s", strings.Join(bad, "; "))
	}
	return Okf("no queue has a target of its own")
}

// redirection returns what a queue's HTTP target changes about a delivery; empty:
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

// cloudRunService is the full name of the service that handles deliveries, as far
// as its URL or the platform names it.
func (d *Diagnosis) cloudRunService() string {
	u, err := url.Parse(cloudtasks.WithoutTag(d.config.Settings.TaskHandlerURL))
	if err != nil {
		return ""
	}
	label, rest, _ := strings.Cut(u.Hostname(), ".")
	region, ok := strings.CutSuffix(rest, ".run.app")
	dash := strings.LastIndexByte(label, '-')
	switch {
	case ok && dash > 0 && isNumber(label[dash+1:]) && !strings.Contains(region, "."):
		return fmt.Sprintf("projects/%s/locations/%s/services/%s", label[dash+1:], region, label[:dash])
	case d.detector.Platform() == detect.CloudRunService:
		return fmt.Sprintf("projects/%s/locations/%s/services/%s", d.config.Settings.CloudTasksProject, d.config.Settings.CloudTasksLocation, d.config.Env.Get("K_SERVICE"))
	}
	return ""
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// checkInvoker reports whether Cloud Run's IAM admits deliveries.
func (d *Diagnosis) checkInvoker(ctx context.Context) Finding {
	name := d.cloudRunService()
	if name == "" {
		return Skipf("the handler's URL names no Cloud Run service")
	}
	parts := strings.Split(name, "/")
	at := fmt.Sprintf("%s --region=%s --project=%s", parts[5], parts[3], d.config.Settings.CloudTasksProject)
	unseen := func(err error) Finding {
		return Warnf(fmt.Sprintf("gcloud run services add-iam-policy-binding %s --member=serviceAccount:%s --role=roles/run.viewer, which only doctor needs; or --deliver", at, d.account()),
			"could not check whether %s may call %s: %s", d.signer(), name, status.Convert(err).Message())
	}
	client, err := d.DialServices(ctx)
	if err != nil {
		return unseen(err)
	}
	defer func() { _ = client.Close() }()
	service, err := client.GetService(ctx, &runpb.GetServiceRequest{Name: name}, gax.WithRetry(nil))
	switch {
	case status.Code(err) == codes.NotFound:
		return Failf("deploy it, or correct TASK_HANDLER_URL", "there is no Cloud Run service %s", name)
	case err != nil:
		return unseen(err)
	case service.GetInvokerIamDisabled():
		return Okf("%s does not check callers with IAM; the server verifies the tokens", name)
	}
	policy, err := client.GetIamPolicy(ctx, &iampb.GetIamPolicyRequest{Resource: name}, gax.WithRetry(nil))
	if err != nil {
		return unseen(err)
	}
	for _, binding := range policy.GetBindings() {
		if !slices.Contains([]string{"roles/run.invoker", "roles/run.servicesInvoker", "roles/run.admin"}, binding.GetRole()) || binding.GetCondition() != nil {
			continue
		}
		for _, member := range []string{"serviceAccount:" + d.signer(), "allUsers", "allAuthenticatedUsers"} {
			if slices.Contains(binding.GetMembers(), member) {
				return Okf("%s gives %s to %s", name, binding.GetRole(), member)
			}
		}
	}
	return Failf(fmt.Sprintf("gcloud run services add-iam-policy-binding %s --member=serviceAccount:%s --role=roles/run.invoker", at, d.signer()),
		"%s checks callers with IAM, and gives %s no roles/run.invoker: deliveries are answered 403, unless the project's own policy gives it", name, d.signer())
}
