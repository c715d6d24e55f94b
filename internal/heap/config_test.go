package heap

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestConfigValidate(t *testing.T) {
	f := func(c Config, want ...string) {
		t.Helper()
		var got []string
		in := c
		c.Validate(false, func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
		if len(got) != len(want) {
			t.Errorf("%+v: %q, want %d mistakes", in, got, len(want))
			return
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%+v: %q, want %q", in, got[i], want[i])
			}
		}
	}
	f(Config{})
	f(Config{Provider: "none"})
	for _, address := range []string{"127.0.0.1:9229", "localhost:9229", "[::1]:9229", "127.3.2.1:1", "[::ffff:127.0.0.1]:65535", "LocalHost:9229"} {
		f(Config{Provider: ProviderNode, Address: address})
		f(Config{Provider: ProviderGo, Address: address, Limit: 1 << 30})
	}
	f(Config{Provider: ProviderNode, Address: "127.0.0.1:9229", Session: SessionPerSample})
	f(Config{Address: "127.0.0.1:9229"}, "provider: is missing: write go_pprof, json, jvm, node_agent, node_inspector, prometheus, python_agent, rss_anon, none")
	f(Config{Provider: "dotnet"}, `provider: "dotnet" is not a heap provider: write one of go_pprof, json, jvm, node_agent, node_inspector, prometheus, python_agent, rss_anon, none`)
	f(Config{Provider: ProviderNode}, "address: is missing: write where it listens, such as 127.0.0.1:9229")
	for _, address := range []string{"9229", "127.0.0.1", ":9229", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:http", "127.0.0.1:99999", "http://127.0.0.1:9229"} {
		f(Config{Provider: ProviderNode, Address: address}, "is not host:port: write it as 127.0.0.1:9229")
	}
	for _, address := range []string{"0.0.0.0:9229", "10.0.0.5:9229", "[::]:9229", "example.org:9229", "127.0.0.1.example.org:9229", "[fe80::1%lo]:9229", "localhost.:9229"} {
		f(Config{Provider: ProviderNode, Address: address}, "let it listen on 127.0.0.1 and write 127.0.0.1:9229")
	}
	f(Config{Provider: ProviderNode, Address: "127.0.0.1:9229", Session: "always", Limit: 1},
		"limit: is for go_pprof, json, prometheus, python_agent, rss_anon: remove the key", `session: "always" is not a way to hold a session: write held or per_sample`)
	f(Config{Provider: ProviderGo, Address: "127.0.0.1:6060", Session: "held"}, "session: is for node_inspector: remove the key")

	c := Config{Provider: ProviderNode, Address: "127.0.0.1:9229"}
	c.Validate(false, func(string, string, ...any) {})
	if c.Session != SessionHeld {
		t.Errorf("session = %q, want %q by default", c.Session, SessionHeld)
	}
}

func TestPoolWithoutProvider(t *testing.T) {
	c, err := newPool(t).Get(Config{Provider: ProviderNone}, Target{})
	if c != nil || err != nil {
		t.Fatalf("client %v, error %v, want neither", c, err)
	}
	if _, err := c.Read(t.Context()); !errors.Is(err, ErrNotConfigured) {
		t.Errorf("read: %v, want ErrNotConfigured", err)
	}
	if _, _, err := c.Collect(t.Context()); !errors.Is(err, ErrNotConfigured) {
		t.Errorf("collect: %v, want ErrNotConfigured", err)
	}
	if err := c.Close(); err != nil || c.Runtime() != "" {
		t.Errorf("close: %v, runtime %q", err, c.Runtime())
	}
}

func TestUsage(t *testing.T) {
	f := func(u Usage, text string, ratio float64, ok bool) {
		t.Helper()
		r, has := u.Ratio()
		if u.String() != text || r != ratio || has != ok {
			t.Errorf("%+v: %q, %v, %v, want %q, %v, %v", u, u, r, has, text, ratio, ok)
		}
	}
	f(Usage{}, "", 0, false)
	f(Usage{Limit: Some(1)}, "", 0, false)
	f(Usage{Used: Some(64 << 20), Limit: Some(256 << 20)}, "heap 64MiB of 256MiB", .25, true)
	f(Usage{Used: Some(64 << 20), Committed: Some(128 << 20)}, "heap 64MiB", 0, false)
	f(Usage{Used: Some(0), Limit: Some(256 << 20)}, "heap 0B of 256MiB", 0, true)
	f(Usage{Used: Some(1), Limit: Some(0)}, "heap 1B of 0B", 0, false)
}

// TestProviders: each row of the table is complete, and names keys of Config alone.
func TestProviders(t *testing.T) {
	var keys []string
	for f := range reflect.TypeFor[Config]().Fields() {
		keys = append(keys, f.Tag.Get("yaml"))
	}
	for name, p := range providers {
		if p.runtime == "" || p.check == nil || p.open == nil || p.hint != "" && p.example == "" {
			t.Errorf("%s is not complete: %+v", name, p)
		}
		if p.collects != slices.Contains(p.keys, "collect") {
			t.Errorf("%s: collects is %t, and its keys are %q", name, p.collects, p.keys)
		}
		for _, key := range p.keys {
			if !slices.Contains(keys, key) || key == "provider" {
				t.Errorf("%s: %q is not a key of its own", name, key)
			}
		}
	}
}
