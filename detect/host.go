package detect

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// maxLabel is the longest part of a host name between two dots that DNS allows.
const maxLabel = 63

// HandlerHost returns the host name under which the platform serves this process;
// it is always reached with https. Cloud Run services and App Engine have one, jobs
// and worker pools do not. The error is an [*Error].
func (d *Detector) HandlerHost(ctx context.Context) (Found, error) {
	f, err := d.handlerHost(ctx)
	if err != nil {
		return Found{}, &Error{Piece: PieceHandlerHost, Err: err}
	}
	return f, nil
}

// HandlerOrigin is [Detector.HandlerHost] with "https://" in front: the beginning of
// the handler's URL, and the audience that tokens carry by default.
func (d *Detector) HandlerOrigin(ctx context.Context) (Found, error) {
	f, err := d.HandlerHost(ctx)
	if err != nil {
		return Found{}, err
	}
	return Found{Value: "https://" + f.Value, Source: f.Source, Guessed: f.Guessed}, nil
}

func (d *Detector) handlerHost(ctx context.Context) (Found, error) {
	switch p := d.Platform(); p {
	case CloudRunService:
		return d.cloudRunHost(ctx)
	case AppEngine:
		return d.appEngineHost(ctx)
	case CloudRunJob, CloudRunWorkerPool:
		return Found{}, fmt.Errorf("a %s has no URL; tasks need the URL of a service", p)
	}
	return Found{}, errors.New("this is neither a Cloud Run service nor App Engine")
}

// cloudRunHost builds [TAG---]SERVICE-PROJECTNUMBER.REGION.run.app.
func (d *Detector) cloudRunHost(ctx context.Context) (Found, error) {
	number, err := d.projectNumber(ctx)
	if err != nil {
		return Found{}, fmt.Errorf("project number: %w", err)
	}
	region, err := d.region(ctx)
	if err != nil {
		return Found{}, fmt.Errorf("region: %w", err)
	}
	label := d.getenv("K_SERVICE") + "-" + number
	source := "variable K_SERVICE, metadata project/numeric-project-id, " + region.Source
	tag := Found{Value: d.config.CloudRunTag, Source: "the configured tag"}
	if tag.Value == "" {
		tag = d.variable("CLOUD_RUN_TAG")
	}
	if tag.Value != "" {
		if !madeOf(tag.Value, "-") {
			return Found{}, fmt.Errorf("%s holds %q, which is not a traffic tag", tag.Source, tag.Value)
		}
		label = tag.Value + "---" + label
		source = tag.Source + ", " + source
	}
	if err := checkLabel(label); err != nil {
		return Found{}, err
	}
	return Found{Value: label + "." + region.Value + ".run.app", Source: source}, nil
}

// appEngineHost builds [VERSION-dot-][SERVICE-dot-]PROJECT.REGION_ID.r.appspot.com.
// The -dot- replaces a dot, which the platform's certificate would not cover.
func (d *Detector) appEngineHost(ctx context.Context) (Found, error) {
	project, err := d.ownProject(ctx)
	if err != nil {
		return Found{}, err
	}
	host, err := defaultHost(project.Value, strings.ToLower(strings.TrimSpace(d.config.AppEngineHost)))
	if err != nil {
		return Found{}, err
	}
	source := project.Source
	guessed := d.config.AppEngineHost == "" && !strings.Contains(project.Value, ":")
	if d.config.AppEngineHost != "" {
		source = "the application's default host"
	}
	if service := d.variable("GAE_SERVICE"); service.Value != "" && service.Value != "default" {
		host, source = service.Value+"-dot-"+host, service.Source+", "+source
	}
	if d.config.PinVersion {
		version := d.variable("GAE_VERSION")
		if version.Value == "" {
			return Found{}, errors.New("the host is to name the version, but variable GAE_VERSION is not set")
		}
		host, source = version.Value+"-dot-"+host, version.Source+", "+source
	}
	label, _, _ := strings.Cut(host, ".")
	if err := checkLabel(label); err != nil {
		return Found{}, err
	}
	return Found{Value: host, Source: source, Guessed: guessed}, nil
}

// defaultHost returns the host of the default service: the configured one, or the one
// without a region ID. A host of another project is refused, since signed tokens
// would be sent to it.
func defaultHost(project, configured string) (string, error) {
	name := dotted(project)
	old := name + ".appspot.com"
	if strings.Contains(project, ":") {
		old = name // domain-scoped projects are served below their own domain
	}
	if configured == "" || configured == old {
		return old, nil
	}
	if rest, ok := strings.CutPrefix(configured, name+"."); ok {
		if id, ok := strings.CutSuffix(rest, ".r.appspot.com"); ok && madeOf(id, "") {
			return configured, nil
		}
	}
	return "", fmt.Errorf("App Engine's default host %q does not belong to project %s", configured, project)
}

func checkLabel(label string) error {
	if len(label) > maxLabel {
		return fmt.Errorf("the platform's host name would begin with %q, which has %d characters and may have %d", label, len(label), maxLabel)
	}
	if !madeOf(label, "-") {
		return fmt.Errorf("the platform's host name would begin with %q, which is not a valid name", label)
	}
	return nil
}
