package cloudtasks

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/api/option"
)

func TestDial(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "http://127.0.0.1:8123", "127.0.0.1:", ":::"} {
		_, err := Dial(context.Background(), DialConfig{EmulatorHost: host})
		if err == nil || !strings.Contains(err.Error(), "DialConfig.EmulatorHost") {
			t.Errorf("%q: %v", host, err)
		}
	}
	client, err := Dial(context.Background(), DialConfig{Options: []option.ClientOption{option.WithoutAuthentication()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	// Nothing listens there: no connection is made before the first call.
	client, err = Dial(context.Background(), DialConfig{EmulatorHost: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}
