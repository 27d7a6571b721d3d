package cloudtasks

import "strings"

// WithoutTag returns a URL of a Cloud Run service without its traffic tag, and
// any other URL as it is: https://green---api-1.europe-west1.run.app/x becomes
// https://api-1.europe-west1.run.app/x. The tag's URL always leads to the one
// revision that has the tag, the other one to those that have the traffic; and
// it is the audience of tokens for both, since Cloud Run's IAM accepts no tag's.
func WithoutTag(rawURL string) string {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return rawURL
	}
	host, path, hasPath := strings.Cut(rest, "/")
	name, _, _ := strings.Cut(host, ":")
	_, service, tagged := strings.Cut(host, "---")
	if !tagged || !strings.HasSuffix(name, ".run.app") {
		return rawURL
	}
	if hasPath {
		service += "/" + path
	}
	return scheme + "://" + service
}
