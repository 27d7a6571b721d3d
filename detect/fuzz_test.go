package detect_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/detect"
)

// Whatever the metadata server answers, every question has an answer that can be
// used as it is, or an error that names the setting to give instead, in one line.
func FuzzEnvironment(f *testing.F) {
	region := "projects/123456789/regions/europe-west1"
	f.Add(uint8(0), "shop", "123456789", region, "projects/123456789/zones/europe-west1-b", "123456789-compute@developer.gserviceaccount.com")
	f.Add(uint8(1), "", "", "", "", "")
	f.Add(uint8(2), "example.com:shop", "1e9", "europe-west", "-", "@")
	f.Add(uint8(3), "<html>\r\n", "-1", "///", "a-", "a@b@c")
	f.Add(uint8(4), "shop\nX-Header: 1", "\x00", "regions/..", "europe-west1-b\n", "ü@example.com")
	platforms := []env{service, job, pool, standard.with("GOOGLE_CLOUD_PROJECT", "-"), flexible, {"GCE_METADATA_HOST": "127.0.0.1:1"}}
	f.Fuzz(func(t *testing.T, platform uint8, project, number, region, zone, account string) {
		d := detect.New(detect.Config{
			Getenv: platforms[int(platform)%len(platforms)].get,
			Metadata: answering(env{
				"project/project-id": project, "project/numeric-project-id": number, "instance/region": region,
				"instance/zone": zone, "instance/service-accounts/default/email": account,
			}),
		})
		found := d.Environment(context.Background())
		for question, r := range map[string]struct {
			detect.Result
			allowed string // beside letters and digits
		}{
			"project":         {found.Project, "-.:"},
			"location":        {found.Location, "-"},
			"handler host":    {found.HandlerHost, "-."},
			"service account": {found.ServiceAccount, "-._@"},
		} {
			var named *detect.Error
			switch {
			case r.Err != nil && (!errors.As(r.Err, &named) || named.Remedy() == "" || strings.ContainsAny(r.Err.Error(), "\r\n")):
				t.Errorf("%s: %q", question, r.Err)
			case r.Err == nil && (r.Value == "" || r.Source == "" || strings.Trim(r.Value, "abcdefghijklmnopqrstuvwxyz0123456789"+r.allowed) != ""):
				t.Errorf("%s: %q from %q", question, r.Value, r.Source)
			}
		}
		if origin, err := d.HandlerOrigin(context.Background()); err == nil {
			if u, err := url.Parse(origin.Value); err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" {
				t.Errorf("origin %q: %v", origin.Value, err)
			}
		}
	})
}
