package listen

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestReadAuth: what the file asks for, and a file that the toolkit refuses.
func TestReadAuth(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	f := func(text string, want Auth, decided bool) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		want.Files = []string{file}
		if got, err := ReadAuth(file); !reflect.DeepEqual(got, want) || err != nil || got.Decided() != decided {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
	f("{}", Auth{}, false)
	f("basic_auth_users: {me: $2a$04$gV1/IhtazWvldg7v.sqLqOoVM7v2mTP.GXdFhpSDKA0eki1tDvCH2}", Auth{Basic: true}, true)
	if err := os.WriteFile(file, []byte("users: {}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, file + ".missing"} {
		if _, err := ReadAuth(path); err == nil || !strings.HasPrefix(err.Error(), "--web.config.file: ") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if got, err := ReadAuth(""); !reflect.DeepEqual(got, Auth{}) || err != nil {
		t.Errorf("no file: %+v, %v", got, err)
	}
}

// TestAuthFiles: keys and certificates are named, as the toolkit finds them.
func TestAuthFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(file, []byte("tls_server_config: {cert_file: a.crt, key_file: /b.key, client_ca_file: ca/c.crt}"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := parseAuth(file)
	if want := []string{file, filepath.Dir(file) + "/a.crt", "/b.key", filepath.Dir(file) + "/ca/c.crt"}; !slices.Equal(got.Files, want) || err != nil {
		t.Errorf("%q, %v, want %q", got.Files, err, want)
	}
}

// TestAuthenticated: a certificate that the file asks for now is not that of a connection from before.
func TestAuthenticated(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	verified := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{}}}}
	f := func(text string, state *tls.ConnectionState, want bool, says string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Authenticated(file, &http.Request{TLS: state})
		if got != want || (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%q, %v: %v, %v, want %v, %q", text, state, got, err, want, says)
		}
	}
	f("tls_server_config: {client_auth_type: RequireAndVerifyClientCert}", verified, true, "")
	f("tls_server_config: {client_auth_type: RequireAndVerifyClientCert}", &tls.ConnectionState{}, false, "")
	f("tls_server_config: {client_auth_type: RequireAndVerifyClientCert}", nil, false, "")
	f("tls_server_config: {client_auth_type: RequestClientCert}", &tls.ConnectionState{}, false, "")
	f("{}", verified, false, "")
	f("not: [yaml", verified, false, "--web.config.file: ")
	f("basic_auth_users: {me: x}", nil, true, "")
	if ok, err := Authenticated("", &http.Request{TLS: verified}); ok || err != nil {
		t.Errorf("without a file: %v, %v", ok, err)
	}
}

// TestUser: who is named has been checked by the listener.
func TestUser(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	verified := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{Subject: pkix.Name{CommonName: "berta"}}}}}
	f := func(text string, state *tls.ConnectionState, want string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r := &http.Request{TLS: state, Header: http.Header{}}
		r.SetBasicAuth("anna", "x")
		if got := User(file, r); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if got := User("", r); got != "" {
			t.Errorf("without a file: %q", got)
		}
	}
	f("basic_auth_users: {anna: x}", nil, "anna")
	f("{}", nil, "")
	f("not: [yaml", nil, "")
	f("tls_server_config: {client_auth_type: RequireAndVerifyClientCert}", verified, "berta")
	f("tls_server_config: {client_auth_type: RequireAndVerifyClientCert}", &tls.ConnectionState{}, "")
}
