// Command server is claimcheck with tasks to try it with: package server is all of
// it, and what a program of your own calls.
package main

import (
	"context"
	"os"

	"github.com/claimcheck-go/claimcheck/server"
)

func main() {
	os.Exit(server.Run(context.Background(), server.Config{Name: "server", Tasks: tasks, Setup: setup}, os.Args[1:]))
}
