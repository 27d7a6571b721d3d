package detect

import (
	"context"
	"fmt"
	"strings"
)

// Project returns the project ID under which Cloud Tasks queues are addressed:
// GOOGLE_CLOUD_PROJECT if it is set (Cloud Run does not set it, App Engine does),
// else GAE_APPLICATION without its partition, else the metadata server's answer.
// The error is an [*Error].
func (d *Detector) Project(ctx context.Context) (Found, error) {
	f, err := d.firstProject(ctx, d.variable("GOOGLE_CLOUD_PROJECT"), d.application())
	if err != nil {
		return Found{}, &Error{Piece: PieceProject, Err: err}
	}
	return f, nil
}

// ownProject is the project of the App Engine application itself, which
// names its host and its account. The platform's own variable comes first here,
// since GOOGLE_CLOUD_PROJECT can be pointed at another project.
func (d *Detector) ownProject(ctx context.Context) (Found, error) {
	return d.firstProject(ctx, d.application(), d.variable("GOOGLE_CLOUD_PROJECT"))
}

func (d *Detector) firstProject(ctx context.Context, candidates ...Found) (Found, error) {
	for _, f := range candidates {
		if f.Value != "" {
			return checkProject(f)
		}
	}
	f, err := d.fromMetadata(ctx, "project/project-id")
	if err != nil {
		return Found{}, fmt.Errorf("variable GOOGLE_CLOUD_PROJECT is not set; %w", err)
	}
	return checkProject(f)
}

// application reads GAE_APPLICATION, "s~project" or "s~domain.com:project". It is
// cut at the first ~: stripping the letters s and ~ would damage "s~staging".
func (d *Detector) application() Found {
	f := d.variable("GAE_APPLICATION")
	if _, project, ok := strings.Cut(f.Value, "~"); ok {
		f.Value = project
	}
	return f
}

func (d *Detector) variable(name string) Found {
	return Found{Value: strings.TrimSpace(d.getenv(name)), Source: "variable " + name}
}

// checkProject refuses what cannot be a project ID (or number): it is about to
// become part of resource names and host names.
func checkProject(f Found) (Found, error) {
	if !madeOf(f.Value, "-.:") || strings.Count(f.Value, ":") > 1 {
		return Found{}, fmt.Errorf("%s holds %q, which is not a project ID", f.Source, f.Value)
	}
	return f, nil
}

// projectNumber is what Cloud Run builds its host names from.
func (d *Detector) projectNumber(ctx context.Context) (string, error) {
	f, err := d.fromMetadata(ctx, "project/numeric-project-id")
	if err != nil {
		return "", err
	}
	if strings.Trim(f.Value, "0123456789") != "" {
		return "", fmt.Errorf("%s holds %q, which is not a project number", f.Source, f.Value)
	}
	return f.Value, nil
}

// ServiceAccount returns the e-mail address of the account that the code runs as,
// as the metadata server says. On App Engine, where that does not answer, it is
// guessed: PROJECT@appspot.gserviceaccount.com. The error is an [*Error].
func (d *Detector) ServiceAccount(ctx context.Context) (Found, error) {
	f, err := d.serviceAccount(ctx)
	if err != nil {
		return Found{}, &Error{Piece: PieceServiceAccount, Err: err}
	}
	return f, nil
}

func (d *Detector) serviceAccount(ctx context.Context) (Found, error) {
	f, err := d.metadataAccount(ctx)
	if err == nil || d.Platform() != AppEngine {
		return f, err
	}
	project, err := d.ownProject(ctx)
	if err != nil {
		return Found{}, err
	}
	return Found{
		Value:   dotted(project.Value) + "@appspot.gserviceaccount.com",
		Source:  "App Engine's default account for the project in " + project.Source,
		Guessed: true,
	}, nil
}

func (d *Detector) metadataAccount(ctx context.Context) (Found, error) {
	f, err := d.fromMetadata(ctx, "instance/service-accounts/default/email")
	if err != nil {
		return Found{}, err
	}
	if strings.Count(f.Value, "@") != 1 || !madeOf(f.Value, "-._@") {
		return Found{}, fmt.Errorf("%s holds %q, which is not an e-mail address", f.Source, f.Value)
	}
	return f, nil
}

// dotted turns a domain-scoped project, "example.com:project", into the form that
// host names and accounts use, "project.example.com". Others stay as they are.
func dotted(project string) string {
	if domain, name, ok := strings.Cut(project, ":"); ok {
		return name + "." + domain
	}
	return project
}

// madeOf reports whether s is not empty, made of lower-case letters, digits and
// the characters in also, and begins and ends with a letter or a digit.
func madeOf(s, also string) bool {
	alphanumeric := func(r rune) bool { return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' }
	for _, r := range s {
		if !alphanumeric(r) && !strings.ContainsRune(also, r) {
			return false
		}
	}
	return s != "" && alphanumeric(rune(s[0])) && alphanumeric(rune(s[len(s)-1]))
}
