package listen

import (
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"

	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
)

// maxAuthBytes is how much of the toolkit's file is read.
const maxAuthBytes = 1 << 20

// Auth is what the exporter-toolkit's file requires of every request.
type Auth struct {
	Basic      bool // a user with a password
	ClientCert bool // a certificate that was verified
	TLS        bool // nothing, but the connection is encrypted

	Files []string // on which that rests: the toolkit's file, keys and certificates
}

// Decided reports whether the listener lets in only those who have proved who they are.
func (a Auth) Decided() bool { return a.Basic || a.ClientCert }

// ReadAuth checks the toolkit's file and reads the part that says who is let in. "" is not a file.
func ReadAuth(path string) (Auth, error) {
	if path == "" {
		return Auth{}, nil
	}
	if _, err := hostfs.ReadFile(path, maxAuthBytes); err != nil { // the toolkit would wait for a pipe
		return Auth{}, fmt.Errorf("--web.config.file: %w", err)
	}
	if err := web.Validate(path); err != nil {
		return Auth{}, fmt.Errorf("--web.config.file: %w", err)
	}
	return parseAuth(path)
}

func parseAuth(path string) (Auth, error) {
	raw, err := hostfs.ReadFile(path, maxAuthBytes)
	if err != nil {
		return Auth{}, fmt.Errorf("--web.config.file: %w", err)
	}
	var file struct {
		Users map[string]string `yaml:"basic_auth_users"`
		TLS   struct {
			Cert       string `yaml:"cert_file"`
			Inline     string `yaml:"cert"`
			Key        string `yaml:"key_file"`
			ClientCA   string `yaml:"client_ca_file"`
			ClientAuth string `yaml:"client_auth_type"`
		} `yaml:"tls_server_config"`
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		return Auth{}, fmt.Errorf("--web.config.file: %w", err)
	}
	files := []string{path}
	for _, f := range []string{file.TLS.Cert, file.TLS.Key, file.TLS.ClientCA} {
		if f != "" && !filepath.IsAbs(f) {
			f = filepath.Join(filepath.Dir(path), f) // as the toolkit finds it
		}
		if f != "" {
			files = append(files, f)
		}
	}
	return Auth{
		Files:      files,
		Basic:      len(file.Users) > 0,
		ClientCert: file.TLS.ClientAuth == "RequireAndVerifyClientCert",
		TLS:        file.TLS.Cert != "" || file.TLS.Inline != "",
	}, nil
}

// Authenticated reports whether the listener has made sure who sent a request. The toolkit reads its
// file for each request, and for each connection what it says of certificates: what held at the
// start may not hold any more.
func Authenticated(path string, r *http.Request) (bool, error) {
	if path == "" {
		return false, nil
	}
	now, err := parseAuth(path)
	if err != nil {
		return false, err
	}
	return now.Basic || now.ClientCert && r.TLS != nil && len(r.TLS.VerifiedChains) > 0, nil
}

// User names who sent a request as far as the listener has made sure of it: the user of basic authentication, else the subject of
// a certificate; "" where it has not. A header that no one has checked names no one.
func User(path string, r *http.Request) string {
	if path == "" {
		return ""
	}
	now, err := parseAuth(path)
	switch {
	case err != nil:
		return ""
	case now.Basic:
		name, _, _ := r.BasicAuth()
		return name
	case now.ClientCert && r.TLS != nil && len(r.TLS.VerifiedChains) > 0:
		return r.TLS.VerifiedChains[0][0].Subject.CommonName
	}
	return ""
}
