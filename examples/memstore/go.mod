module example.com/memstore

go 1.26.0

require (
	github.com/claimcheck-go/claimcheck v0.0.0
	github.com/google/uuid v1.6.0
)

require (
	github.com/agnivade/levenshtein v1.2.2 // indirect
	github.com/anishathalye/porcupine v1.3.1 // indirect
	github.com/google/go-cmp v0.7.0 // indirect
	github.com/robfig/cron/v3 v3.0.1 // indirect
	pgregory.net/rapid v1.3.0 // indirect
)

replace github.com/claimcheck-go/claimcheck => ../..
