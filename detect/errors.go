package detect

import "errors"

// ErrNotDetected matches, with errors.Is, every error of this package: the value
// could not be detected.
var ErrNotDetected = errors.New("not detected")

// The pieces of an [Error].
const (
	PieceProject        = "project"
	PieceLocation       = "location"
	PieceHandlerHost    = "handler host"
	PieceServiceAccount = "service account"
)

// remedies say how the caller of this package supplies a piece.
var remedies = map[string]string{
	PieceProject:        "set the variable GOOGLE_CLOUD_PROJECT, or name the project where it is needed (cloudtasks.Config.Project)",
	PieceLocation:       "set the variable CLOUD_RUN_REGION, or name the location where it is needed (cloudtasks.Config.Location)",
	PieceHandlerHost:    "set the URL where it is needed (cloudtasks.Config.HandlerURL)",
	PieceServiceAccount: "set the account where it is needed (cloudtasks.Config.ServiceAccountEmail)",
}

// Error is a value that was not detected, with the reason and the remedy. A program
// with settings of its own uses Piece and Err, and names its setting.
type Error struct {
	Piece string // what is missing: one of the constants above
	Err   error  // why it could not be found
}

// Remedy returns how the caller of this package sets the value.
func (e *Error) Remedy() string { return remedies[e.Piece] }

// Error reads "PIECE not detected: REASON; REMEDY".
func (e *Error) Error() string {
	return e.Piece + " not detected: " + e.Err.Error() + "; " + e.Remedy()
}

// Is reports whether target is [ErrNotDetected].
func (e *Error) Is(target error) bool { return target == ErrNotDetected }

// Unwrap returns the reason, so that errors.Is finds for example
// context.DeadlineExceeded when the metadata server hung.
func (e *Error) Unwrap() error { return e.Err }
