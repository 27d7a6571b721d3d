package admin

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed static/*.css static/*.js static/*.svg
var assetFiles embed.FS

// assetPath is where styles and scripts are, below the prefix.
const assetPath = "/static/"

// mediaTypes are those of the embedded files, independent of the machine's.
var mediaTypes = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// asset is one embedded file.
type asset struct {
	kind          string // media type
	plain, packed []byte
}

// assets are the embedded files by the names under which they are served: with
// a hash of what is in them, so that browsers may keep them.
type assets struct {
	files  map[string]asset
	served map[string]string // by the file's own name
}

func loadAssets() (*assets, error) {
	entries, err := assetFiles.ReadDir("static")
	if err != nil {
		return nil, err
	}
	a := &assets{files: make(map[string]asset), served: make(map[string]string)}
	for _, entry := range entries {
		name := entry.Name()
		data, err := assetFiles.ReadFile("static/" + name)
		if err != nil {
			return nil, err
		}
		var packed bytes.Buffer
		z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			return nil, err
		}
		_, _ = z.Write(data) // to memory
		_ = z.Close()
		sum := sha256.Sum256(data)
		extension := path.Ext(name)
		hashed := strings.TrimSuffix(name, extension) + "." + hex.EncodeToString(sum[:6]) + extension
		a.files[hashed] = asset{mediaTypes[extension], data, packed.Bytes()}
		a.served[name] = hashed
	}
	return a, nil
}

// assetURL is the address of an embedded file, for templates.
func (h *handler) assetURL(name string) (string, error) {
	a, err := h.assets()
	if err != nil {
		return "", err
	}
	return h.base + assetPath + a.served[name], nil
}

// serveAsset sends an embedded file. It needs no login: the login form uses the files,
// and they are public.
func (h *handler) serveAsset(w http.ResponseWriter, r *http.Request, name string) {
	a, err := h.assets()
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	file, ok := a.files[name]
	switch {
	case !ok:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
		return
	}
	body := file.plain
	header := w.Header()
	header.Set("Content-Type", file.kind)
	header.Set("Cache-Control", "public, max-age=31536000, immutable")
	header.Add("Vary", "Accept-Encoding")
	if acceptsGzip(r) {
		body = file.packed
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the browser may have gone
	}
}
