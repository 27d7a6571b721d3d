// Command server is claimcheck with tasks to try it with: package server is all of
// it, and what a program of your own calls.
package main

import "github.com/claimcheck-go/claimcheck/server"

func main() { server.Main(tasks...) }
