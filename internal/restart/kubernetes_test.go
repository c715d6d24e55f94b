package restart

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const podUID = "6b7a3d3e-0000-4000-8000-000000000001"

// fakeAPI answers as an API server does and keeps what it was asked.
type fakeAPI struct {
	mu       sync.Mutex
	status   int    // of the answer to an eviction
	limited  bool   // a 429 is that of a server with too many requests
	uid      string // of the pod; "" = there is none
	phase    string
	allowed  string // the subresource that may be created
	evicted  []string
	tokens   map[string]bool
	requests []string
	refused  []string // what the specification does not have
	spec     *openAPI
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens[r.Header.Get("Authorization")] = true
	f.requests = append(f.requests, r.Method+" "+r.URL.Path)
	body, _ := io.ReadAll(r.Body)
	if err := f.spec.check(r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.URL.Query(), body); err != nil {
		f.refused = append(f.refused, fmt.Sprintf("%s %s: %v", r.Method, r.URL.Path, err))
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/api/v1/namespaces/shop/pods/web-1":
		if f.uid == "" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprintf(w, `{"metadata": {"name": "web-1", "uid": %q}, "status": {"phase": %q}}`, f.uid, f.phase)
	case r.Method == http.MethodPost && r.URL.Path == "/api/v1/namespaces/shop/pods/web-1/eviction":
		f.evicted = append(f.evicted, string(body))
		w.WriteHeader(f.status)
		switch {
		case f.status == http.StatusTooManyRequests && f.limited:
			fmt.Fprint(w, "Too many requests, please try again later.\n")
		case f.status == http.StatusTooManyRequests:
			fmt.Fprint(w, `{"kind": "Status", "message": "Cannot evict pod as it would violate the pod's disruption budget.", "reason": "TooManyRequests", "details": {"causes": [{"reason": "DisruptionBudget", "message": "The disruption budget web needs 2 healthy pods and has 2 currently"}]}, "code": 429}`)
		default:
			fmt.Fprint(w, `{"message": "as the test wants it"}`)
		}
		if f.status == http.StatusCreated {
			f.uid = ""
		}
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"):
		var review accessReview
		_ = json.Unmarshal(body, &review)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"status": {"allowed": %t}}`, review.Spec.ResourceAttributes.Verb == "get" || review.Spec.ResourceAttributes.Subresource == f.allowed)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func openFakeAPI(t *testing.T, f *fakeAPI, uid string) Manager {
	t.Helper()
	f.tokens, f.spec = make(map[string]bool), readOpenAPI(t)
	t.Cleanup(func() {
		if len(f.refused) > 0 {
			t.Errorf("sent what the API server does not take: %q", f.refused)
		}
	})
	srv := httptest.NewTLSServer(f)
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	for name, content := range map[string][]byte{"ca.crt": ca, "token": []byte("sesame\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, err := OpenKubernetes(&Spec{Via: ViaKubernetes, Pod: "web-1", Namespace: "shop", PodUID: uid}, Cluster{Address: srv.URL, Account: dir})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestKubernetesEvicts(t *testing.T) {
	f := func(name string, status int, want error) {
		t.Run(name, func(t *testing.T) {
			api := &fakeAPI{status: status, limited: errors.Is(want, ErrUnreachable), uid: podUID, phase: "Running"}
			m := openFakeAPI(t, api, podUID)
			from, err := m.State(t.Context())
			if err != nil || from.Phase != Running || from.Instance != podUID || !from.Shows {
				t.Fatalf("%+v, %v", from, err)
			}
			err = m.Restart(t.Context(), from)
			if want == nil && err != nil || want != nil && !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
			const body = `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"web-1","namespace":"shop"},"deleteOptions":{"preconditions":{"uid":"` + podUID + `"}}}`
			if len(api.evicted) != 1 || api.evicted[0] != body {
				t.Errorf("evicted %q, want once %q", api.evicted, body)
			}
			if len(api.tokens) != 1 || !api.tokens["Bearer sesame"] {
				t.Errorf("tokens %v", api.tokens)
			}
			for _, r := range api.requests {
				if strings.HasPrefix(r, http.MethodDelete) {
					t.Errorf("a pod is never deleted: %s", r)
				}
			}
		})
	}
	f("done", http.StatusCreated, nil)
	f("a disruption budget", http.StatusTooManyRequests, ErrBudget)
	f("too many requests", http.StatusTooManyRequests, ErrUnreachable)
	f("no right", http.StatusForbidden, ErrNotAllowed)
	f("another uid", http.StatusConflict, ErrBusy)
	f("gone", http.StatusNotFound, ErrUnknown)
	f("the server is ill", http.StatusInternalServerError, ErrUnseen)
}

// TestKubernetesAnotherPod: what has replaced the pod under its name is not evicted.
func TestKubernetesAnotherPod(t *testing.T) {
	api := &fakeAPI{status: http.StatusCreated, uid: "another", phase: "Running"}
	m := openFakeAPI(t, api, podUID)
	from, err := m.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Restart(t.Context(), from); !errors.Is(err, ErrUnknown) || len(api.evicted) != 0 {
		t.Errorf("%v, evicted %q", err, api.evicted)
	}
}

func TestKubernetesCheck(t *testing.T) {
	api := &fakeAPI{allowed: "eviction", uid: podUID}
	if err := openFakeAPI(t, api, podUID).Check(t.Context()); err != nil {
		t.Error(err)
	}
	api = &fakeAPI{allowed: "log", uid: podUID}
	if err := openFakeAPI(t, api, podUID).Check(t.Context()); !errors.Is(err, ErrNotAllowed) || len(api.evicted) != 0 {
		t.Errorf("%v, want ErrNotAllowed", err)
	}
}
