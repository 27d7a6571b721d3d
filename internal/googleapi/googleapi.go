// Package googleapi reads what the errors of Google Cloud's APIs have in common.
package googleapi

import "strings"

// Disabled reports whether the text of an error says that a call was refused because the API is not enabled in the
// project. Some of Google's APIs say so with the reason SERVICE_DISABLED, others in
// words only.
func Disabled(text string) bool {
	for _, sign := range []string{"SERVICE_DISABLED", "has not been used in project", "API has not been enabled"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}
