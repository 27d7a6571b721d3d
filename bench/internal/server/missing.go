package server

import (
	"fmt"
	"os/exec"
	"strings"
)

// Missing names all that is not installed at once, by Debian's packages; nil if
// nothing is missing.
func Missing(postgres, redis, mariadb bool) error {
	var programs, packages []string
	if _, err := postgresPrograms(); postgres && err != nil {
		programs, packages = append(programs, "PostgreSQL (initdb and postgres)"), append(packages, "postgresql")
	}
	if _, err := exec.LookPath("redis-server"); redis && err != nil {
		programs, packages = append(programs, "Redis (redis-server)"), append(packages, "redis-server")
	}
	if _, _, err := mariadbPrograms(); mariadb && err != nil {
		programs, packages = append(programs, "MariaDB (mariadbd and mariadb-install-db)"), append(packages, "mariadb-server")
	}
	if len(programs) == 0 {
		return nil
	}
	return fmt.Errorf("not installed: %s.\nOn Debian: apt-get install --no-install-recommends %s\nor leave out what needs them, with -scenarios and -systems",
		strings.Join(programs, ", "), strings.Join(packages, " "))
}
