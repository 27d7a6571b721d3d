package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// errBackend has a text that callers may rely on.
var errBackend = &api.BodyError{Status: http.StatusBadRequest, Text: "Invalid backend name"}

// readBody reads a whole body of at most limit bytes.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.Body == http.NoBody {
		return nil, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, &api.BodyError{Status: http.StatusRequestEntityTooLarge, Text: tooLarge(limit)}
	}
	if err != nil {
		return nil, api.BadRequest("the body could not be read")
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return body, nil
}

// checkEncoding refuses a compressed body: as it is, it is no JSON, and decompressing
// it would make a small request a large one.
func checkEncoding(r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	for _, list := range r.Header.Values("Content-Encoding") {
		for coding := range strings.SplitSeq(list, ",") {
			if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
				return &api.BodyError{Status: http.StatusUnsupportedMediaType, Text: fmt.Sprintf("Content-Encoding %.60q is not supported: send the body without compression", coding)}
			}
		}
	}
	return nil
}

func tooLarge(limit int64) string { return fmt.Sprintf("the body is larger than %d bytes", limit) }
