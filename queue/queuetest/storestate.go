package queuetest

import (
	"bytes"
	"context"
	"time"
)

// document is one that a queue.StateKeeper keeps.
type document struct {
	version int64
	text    []byte
}

// State returns a document and its version.
func (s *Store) State(ctx context.Context, name string) (text []byte, version int64, err error) {
	err = s.with(ctx, "read a document", func(time.Time) error {
		text, version = bytes.Clone(s.documents[name].text), s.documents[name].version
		return nil
	})
	return text, version, err
}

// SetState stores a document if its version has not changed.
func (s *Store) SetState(ctx context.Context, name string, text []byte, version int64) (stored bool, err error) {
	err = s.with(ctx, "store a document", func(time.Time) error {
		if stored = s.documents[name].version == version; stored {
			s.documents[name] = document{version + 1, bytes.Clone(text)}
		}
		return nil
	})
	return stored, err
}
