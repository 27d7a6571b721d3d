package cloudtaskstest

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
)

// InProcess returns a RoundTripper that answers requests by calling h, for
// clients that should make no connection: a verifier that fetches Certs inside
// a synctest bubble, say.
func InProcess(h http.Handler) http.RoundTripper { return inProcess{h} }

type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(request *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	p.handler.ServeHTTP(recorder, received(request.Context(), request))
	response := recorder.Result()
	response.Request = request
	return response, nil
}

// detached delivers to a handler that continues when its caller has given up, as
// handlers do.
type detached struct {
	handler http.Handler
	ctx     context.Context // of handlers
	wg      *sync.WaitGroup // counts running handlers
}

// errHandlerDied stands for a connection that a handler broke by a panic.
var errHandlerDied = errors.New("cloudtaskstest: the handler panicked or exited")

func (d *detached) RoundTrip(request *http.Request) (*http.Response, error) {
	answer := make(chan *http.Response, 1)
	d.wg.Go(func() {
		recorder := httptest.NewRecorder()
		returned := false
		defer func() {
			if _ = recover(); !returned { // net/http would log it and drop the connection
				close(answer)
				return
			}
			answer <- recorder.Result()
		}()
		d.handler.ServeHTTP(recorder, received(d.ctx, request))
		returned = true
	})
	select {
	case response, ok := <-answer:
		if !ok {
			return nil, errHandlerDied
		}
		return response, nil
	case <-request.Context().Done():
		return nil, request.Context().Err()
	}
}

// received is a client's request as a server sees it.
func received(ctx context.Context, request *http.Request) *http.Request {
	r := httptest.NewRequestWithContext(ctx, request.Method, request.URL.RequestURI(), request.Body)
	r.Header = request.Header.Clone()
	r.ContentLength = request.ContentLength
	r.Host = cmp.Or(request.Host, request.URL.Host)
	return r
}
