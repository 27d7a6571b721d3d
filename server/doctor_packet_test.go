package server

import (
	"regexp"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
)

// The server's own limit is compared with ours. MariaDB takes 16 MiB unless it is
// set up otherwise.
func TestDoctorComparesThePacketSizeWithTheLargestBody(t *testing.T) {
	url := testdb.MariaDB(t)
	for body, want := range map[string]string{
		"1MiB":   `(?m)^ok +packet size +max_allowed_packet is 16 MiB, TASKS_MAX_BODY 1.0 MiB$`,
		"8MiB":   `(?m)^warn +packet size .*TASKS_MAX_BODY 8.0 MiB: .* SET GLOBAL max_allowed_packet = 16842752 .* a smaller TASKS_MAX_BODY$`,
		"100MiB": `(?m)^warn +packet size .*TASKS_MAX_BODY 100 MiB: `,
	} {
		c := newCLI(t)
		c.env["DATABASE_URL"], c.env["TASKS_MAX_BODY"] = url, body
		if _, stdout, _ := c.call("", "doctor"); !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("%s:\n%s", body, stdout)
		}
	}
}
