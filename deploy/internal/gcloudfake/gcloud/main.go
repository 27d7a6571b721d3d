// Command gcloud stands in for gcloud in the tests of the deployment scripts.
package main

import (
	"os"

	"github.com/claimcheck-go/claimcheck/deploy/internal/gcloudfake"
)

func main() { os.Exit(gcloudfake.Main(os.Args[1:])) }
