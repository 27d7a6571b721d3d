package httpapi

import (
	_ "embed"
	"net/http"
)

// openapiDocument describes the API in OpenAPI 3.1. The tests hold every answer
// they get against it.
//
//go:embed openapi.json
var openapiDocument []byte

func (h *handler) openapi(w http.ResponseWriter, _ *http.Request, _ string) {
	writeHeader(w, http.StatusOK)
	_, _ = w.Write(openapiDocument)
}
