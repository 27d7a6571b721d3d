package detect

import "errors"

// ErrNotDetected matches, with errors.Is, every error of this package: the piece
// asked for could not be found.
var ErrNotDetected = errors.New("not detected")

// Error says which piece is missing, why, and which setting supplies it.
type Error struct {
	Piece   string // what is missing: "project", "location", "handler host", "service account"
	Setting string // the setting that supplies it, such as "CLOUD_TASKS_PROJECT"
	Err     error  // why it could not be found
}

// Error reads "PIECE not detected: REASON; set SETTING".
func (e *Error) Error() string {
	return e.Piece + " not detected: " + e.Err.Error() + "; set " + e.Setting
}

// Is reports whether target is [ErrNotDetected].
func (e *Error) Is(target error) bool { return target == ErrNotDetected }

// Unwrap returns the reason, so that errors.Is finds for example
// context.DeadlineExceeded when the metadata server hung.
func (e *Error) Unwrap() error { return e.Err }
