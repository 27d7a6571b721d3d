#!/usr/bin/env bash
# Prints the packages whose tests need nothing but Go: no database server, no
# browser, no process. It decides by the imports of the tests, so it needs no
# list. `make check` runs these; `make test` runs all packages.
set -euo pipefail
cd "$(dirname "$0")/.."

${GO:-go} list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{join .TestImports " "}} {{join .XTestImports " "}}{{end}}' ./... |
	grep -vE '/internal/testdb( |$)|/internal/testproc( |$)| github\.com/chromedp/| os/exec( |$)' |
	cut -d ' ' -f 1
