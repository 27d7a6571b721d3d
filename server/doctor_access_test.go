package server

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apiv2 "cloud.google.com/go/cloudtasks/apiv2"
	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"cloud.google.com/go/iam/apiv1/iampb"
	run "cloud.google.com/go/run/apiv2"
	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
)

func TestDoctorSeesThatARoleMayOnlyRead(t *testing.T) {
	server := testdb.StartPostgres(t)
	databaseURL := server.URL("postgres")
	p := newTarget(t)
	p.keep(databaseURL)
	p.facts = safe
	p.wants()
	testdb.Exec(t, databaseURL, `CREATE ROLE reader LOGIN`)
	p.env["DATABASE_URL"] = strings.Replace(databaseURL, "postgres@", "reader@", 1)
	p.wants("fail schema: permission denied … GRANT SELECT, INSERT, UPDATE, DELETE on the claimcheck_ tables")
	testdb.Exec(t, databaseURL, `GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader`)
	p.wants("fail rights: INSERT on claimcheck_tasks … UPDATE on claimcheck_tasks … GRANT SELECT, INSERT")
}

func TestDoctorSeesThatAMariaDBUserMayOnlyRead(t *testing.T) {
	databaseURL := testdb.MariaDB(t)
	p := newTarget(t)
	p.keep(databaseURL)
	p.facts = safe
	p.wants()
	name := databaseURL[strings.LastIndexByte(databaseURL, '/')+1:]
	testdb.ExecMySQL(t, databaseURL, "CREATE USER IF NOT EXISTS reader@'%' IDENTIFIED BY 'reader-password'; GRANT SELECT ON "+name+".* TO reader@'%'")
	at := databaseURL[strings.LastIndexByte(databaseURL, '@'):]
	p.env["DATABASE_URL"] = "mysql://reader:reader-password" + at
	p.wants("fail rights: INSERT on claimcheck_tasks … UPDATE on claimcheck_tasks … DELETE on claimcheck_tasks … GRANT")
}

func TestDoctorSeesADamagedFile(t *testing.T) {
	p := newTarget(t)
	if text := detailOf(p.wants(), "integrity"); !strings.Contains(text, "quick_check found nothing") {
		t.Error(text)
	}
	p.args = []string{"--integrity"}
	if text := detailOf(p.wants(), "integrity"); !strings.Contains(text, "integrity_check found nothing") {
		t.Error(text)
	}
	// Enough rows that the damage below is within the table.
	path := strings.TrimPrefix(p.env["DATABASE_URL"], "sqlite:")
	result := procRun(t, filepath.Dir(path), []string{"DATABASE_URL=" + p.env["DATABASE_URL"]}, strings.Repeat(`{"task":"demo.echo","args":"`+strings.Repeat("x", 500)+`"}`+"\n", 300), "enqueue", "-")
	if result.status != 0 {
		t.Fatalf("enqueue: %+v", result)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the test's own
	if err != nil {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte(strings.Repeat("\xff", 40<<10)), info.Size()/2); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"--integrity"}} {
		p.args = args
		if results := p.diagnose(); statusOf(results, "integrity") != doctor.Fail {
			t.Errorf("%v: %s: %s", args, statusOf(results, "integrity"), detailOf(results, "integrity"))
		}
	}
}

// redirectingTasks is Cloud Tasks with a queue that has an HTTP target, which the
// fake does not have.
type redirectingTasks struct {
	cloudtaskspb.UnimplementedCloudTasksServer
	target *cloudtaskspb.HttpTarget
}

func (r *redirectingTasks) GetQueue(_ context.Context, request *cloudtaskspb.GetQueueRequest) (*cloudtaskspb.Queue, error) {
	q := goodQueue(request.GetName())
	q.State, q.HttpTarget = cloudtaskspb.Queue_RUNNING, r.target
	q.RateLimits.MaxDispatchesPerSecond = 500
	return q, nil
}

func (*redirectingTasks) CreateTask(_ context.Context, request *cloudtaskspb.CreateTaskRequest) (*cloudtaskspb.Task, error) {
	return request.GetTask(), nil
}

func (*redirectingTasks) DeleteTask(context.Context, *cloudtaskspb.DeleteTaskRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func TestDoctorSeesThatAQueueRedirectsDeliveries(t *testing.T) {
	host := "elsewhere.example"
	for _, tc := range []struct {
		mode cloudtaskspb.UriOverride_UriOverrideEnforceMode
		want []string
	}{
		{cloudtaskspb.UriOverride_ALWAYS, []string{"fail queue target: default sends every delivery to elsewhere.example … give the emulator's queue default what these flags mean: --clear-http"}},
		{cloudtaskspb.UriOverride_IF_NOT_EXISTS, nil}, // tasks have a URL of their own
	} {
		p := newTarget(t)
		p.stubs = func(c *doctor.Config) {
			c.Dial = func(ctx context.Context) (*apiv2.Client, error) {
				conn, err := p.dialStub(ctx, func(server *grpc.Server) {
					cloudtaskspb.RegisterCloudTasksServer(server, &redirectingTasks{
						target: &cloudtaskspb.HttpTarget{UriOverride: &cloudtaskspb.UriOverride{Host: &host, UriOverrideEnforceMode: tc.mode}}})
				})
				if err != nil {
					return nil, err
				}
				return apiv2.NewClient(ctx, option.WithGRPCConn(conn))
			}
		}
		p.wants(tc.want...)
	}
}

// dialStub connects to a gRPC server of the test's.
func (p *target) dialStub(ctx context.Context, register func(*grpc.Server)) (*grpc.ClientConn, error) {
	server := grpc.NewServer()
	register(server)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() { _ = server.Serve(listener) }()
	p.t.Cleanup(server.Stop)
	return grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// guardedService is a Cloud Run service with a policy.
type guardedService struct {
	runpb.UnimplementedServicesServer
	look     error
	open     bool
	bindings []*iampb.Binding
}

func (g *guardedService) GetService(_ context.Context, r *runpb.GetServiceRequest) (*runpb.Service, error) {
	if r.GetName() != "projects/123456789/locations/europe-west1/services/api" {
		return nil, status.Errorf(codes.NotFound, "no %s", r.GetName())
	}
	return &runpb.Service{Name: r.GetName(), InvokerIamDisabled: g.open}, g.look
}

func (g *guardedService) GetIamPolicy(context.Context, *iampb.GetIamPolicyRequest) (*iampb.Policy, error) {
	return &iampb.Policy{Bindings: g.bindings}, nil
}

// openService is a service that leaves the verification of tokens to the server.
func (p *target) openService(ctx context.Context) (*run.ServicesClient, error) {
	return p.dialService(ctx, &guardedService{open: true})
}

func (p *target) dialService(ctx context.Context, service *guardedService) (*run.ServicesClient, error) {
	conn, err := p.dialStub(ctx, func(server *grpc.Server) { runpb.RegisterServicesServer(server, service) })
	if err != nil {
		return nil, err
	}
	return run.NewServicesClient(ctx, option.WithGRPCConn(conn))
}

func TestDoctorLooksWhetherDeliveriesMayCallTheService(t *testing.T) {
	invokes := func(member string) []*iampb.Binding {
		return []*iampb.Binding{{Role: "roles/run.viewer", Members: []string{"serviceAccount:" + procAccount}}, {Role: "roles/run.invoker", Members: []string{member}}}
	}
	for name, tc := range map[string]struct {
		service guardedService
		want    string
	}{
		"granted":       {guardedService{bindings: invokes("serviceAccount:" + procAccount)}, ""},
		"public":        {guardedService{bindings: invokes("allUsers")}, ""},
		"without IAM":   {guardedService{open: true}, ""},
		"another's":     {guardedService{bindings: invokes("serviceAccount:other@proc.iam.gserviceaccount.com")}, "fail invoker: gives " + procAccount + " no roles/run.invoker … gcloud run services add-iam-policy-binding api --region=europe-west1"},
		"may not look":  {guardedService{look: status.Error(codes.PermissionDenied, "Permission 'run.services.get' denied")}, "warn invoker: could not check … Permission 'run.services.get' denied … roles/run.viewer"},
		"no such thing": {guardedService{look: status.Error(codes.NotFound, "no")}, "fail invoker: there is no Cloud Run service"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newTarget(t)
			p.keep(testdb.Postgres(t))
			p.facts = safe
			p.onCloudRun()
			stubs := p.stubs
			p.stubs = func(c *doctor.Config) {
				stubs(c)
				c.DialServices = func(ctx context.Context) (*run.ServicesClient, error) { return p.dialService(ctx, &tc.service) }
			}
			if tc.want == "" {
				if results := p.wants(); statusOf(results, "invoker") != doctor.OK {
					t.Error(detailOf(results, "invoker"))
				}
				return
			}
			p.wants(tc.want)
		})
	}
}

func TestDoctorWarnsOfWhatIsGuessedOnAppEngine(t *testing.T) {
	p := newTarget(t)
	p.keep(testdb.Postgres(t))
	p.facts = safe
	p.onCloudRun("K_SERVICE", "", "GAE_APPLICATION", "s~proc", "GAE_ENV", "standard", "GAE_SERVICE", "default", "GAE_VERSION", "v1", "GAE_INSTANCE", "x", "OIDC_SERVICE_ACCOUNT_EMAIL", "")
	results := p.wants("warn TASK_HANDLER_URL: https://proc.appspot.com/ … guessed … TASK_HANDLER_URL= … REGION_ID.r")
	if text := detailOf(results, "OIDC_SERVICE_ACCOUNT_EMAIL"); !strings.Contains(text, "run@proc.iam.gserviceaccount.com (metadata ") {
		t.Errorf("the account that the metadata server names is not taken: %s", text)
	}
}

func TestDoctorsSweeperCommandCanBeUsed(t *testing.T) {
	p := newTarget(t)
	databaseURL := testdb.Postgres(t)
	p.keep(databaseURL)
	testdb.Exec(t, databaseURL, "DELETE FROM claimcheck_marks")
	p.facts = safe
	p.onCloudRun("CLOUD_RUN_TAG", "green")
	results := p.diagnose()
	for _, r := range results {
		if r.Check == "sweeper" && (!strings.Contains(r.Fix, "--uri=https://api-123456789.europe-west1.run.app/tasks/sweep/ ") || strings.Contains(r.Fix, "green")) {
			t.Error(r.Fix)
		}
	}
	p.env["OIDC_SERVICE_ACCOUNT_EMAIL"] = ""
	for _, r := range p.diagnose() {
		if strings.Contains(r.Fix+r.Detail, "missing.invalid") {
			t.Errorf("%+v", r)
		}
	}
	// Wrong settings, too.
	p = newTarget(t)
	p.keep(databaseURL)
	testdb.Exec(t, databaseURL, "DELETE FROM claimcheck_marks")
	p.facts = safe
	p.env["TASK_HANDLER_URL"], p.env["CLOUD_TASKS_LOCATION"] = p.handler.URL+"/tasks/", ""
	delete(p.env, "CLOUD_TASKS_EMULATOR_HOST") // for an emulator no command of gcloud is shown
	for _, r := range p.diagnose() {
		if strings.Contains(r.Fix+r.Detail, "missing") {
			t.Errorf("%+v", r)
		}
		if r.Check == "sweeper" && !strings.Contains(r.Fix, "--location=LOCATION --project=proc ") {
			t.Error(r.Fix)
		}
	}
}
