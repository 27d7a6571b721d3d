package loopback

import "testing"

func TestHost(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "localhost.": true, "app.localhost": true, "127.0.0.1": true, "127.9.8.7": true,
		"::1": true, "::ffff:127.0.0.1": true,
		"": false, "0.0.0.0": false, "::": false, "10.0.0.1": false, "localhost.example": false, "notlocalhost": false,
		"127.0.0.1.example": false, "[::1]": false, "127.0.0.1:80": false,
	} {
		if got := Host(host); got != want {
			t.Errorf("Host(%q) is %t", host, got)
		}
	}
}

func TestAddress(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:80": true, "[::1]:80": true, "[::ffff:127.0.0.1]:80": true,
		"127.0.0.1": false, "localhost:80": false, "192.0.2.1:80": false, "@": false, "": false,
	} {
		if got := Address(address); got != want {
			t.Errorf("Address(%q) is %t", address, got)
		}
	}
}
