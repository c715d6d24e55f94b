package web

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

// TestServeForEyes serves the page with every state until it is interrupted, for a person who
// changes the page. Start it with SPILLWAY_SERVE=127.0.0.1:10099 go test -run TestServeForEyes -timeout 0 ./internal/web.
func TestServeForEyes(t *testing.T) {
	address := os.Getenv("SPILLWAY_SERVE")
	if address == "" {
		t.Skip("SPILLWAY_SERVE is not set")
	}
	w := newWorld(t)
	w.now = time.Now()
	w.allStates()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("http://%s/\n", l.Addr())
	t.Fatal(http.Serve(l, w.handler()))
}
