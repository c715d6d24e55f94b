//go:build attack

package attack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// loopLies are what a service, or an engine, that means harm answers.
var loopLies = []func(w http.ResponseWriter, r *http.Request, elsewhere string){
	func(w http.ResponseWriter, r *http.Request, elsewhere string) { // on the same host, and on one that gives out secrets
		to := []string{elsewhere, "http://169.254.169.254/latest/meta-data/"}[rand.IntN(2)]
		http.Redirect(w, r, to, []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect}[rand.IntN(3)])
	},
	func(w http.ResponseWriter, _ *http.Request, _ string) { w.Write(make([]byte, 10<<20)) },
	func(w http.ResponseWriter, r *http.Request, _ string) { // never ends
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	},
	func(_ http.ResponseWriter, r *http.Request, _ string) { <-r.Context().Done() },
	func(w http.ResponseWriter, _ *http.Request, _ string) { w.WriteHeader(http.StatusInternalServerError) },
	func(http.ResponseWriter, *http.Request, string) {},
}

// loopServe answers on a listener while next returns true, and counts connections.
func loopServe(l net.Listener, next func() bool, h http.Handler) int64 {
	var tries atomic.Int64
	srv := &http.Server{Handler: h, ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			tries.Add(1)
		}
	}}
	go srv.Serve(l)
	for next() {
		stagePause(10 * time.Millisecond)
	}
	srv.Close()
	return tries.Load()
}

// loopEngine listens where the engine of containers does: it is what restarts the service if anyone believes it.
func loopEngine(args []string, next func() bool) (int64, error) {
	l, err := net.Listen("unix", args[0])
	if err == nil {
		err = os.Chmod(args[0], 0o666)
	}
	if err != nil {
		return 0, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		if rand.IntN(2) == 0 {
			loopLies[rand.IntN(len(loopLies))](w, r, args[1])
			return
		}
		fmt.Fprint(w, `{"Id":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","State":{"Status":"running","Running":true,"StartedAt":"2026-01-01T00:00:00Z"}}`)
	})
	mux.HandleFunc("POST /", func(_ http.ResponseWriter, r *http.Request) {
		fmt.Printf("\nharm: another user's engine was asked for %s\n", r.URL.Path)
	})
	return loopServe(l, next, mux), nil
}

// loopService is a service that is drained and probed, and lies.
func loopService(args []string, next func() bool) (int64, error) {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return 0, err
	}
	return loopServe(l, next, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		loopLies[rand.IntN(len(loopLies))](w, r, args[1])
	})), nil
}

// loopImpostor has the name of a service, and much memory.
func loopImpostor(args []string, next func() bool) (tries int64, err error) {
	held := make([]byte, 64<<20)
	for i := range held {
		held[i] = byte(i)
	}
	for ; next(); tries++ {
		if err := os.WriteFile("/proc/self/comm", []byte(args[0]), 0); err != nil {
			return tries, err
		}
		unix.Prctl(unix.PR_SET_NAME, 0, 0, 0, 0) // whatever it does: it is not the service's
		stagePause(20 * time.Millisecond)
	}
	return tries + int64(held[1]) - 1, nil
}

// loopAsk sends a request as the attacker has made it, and returns the status; 0 for none.
func loopAsk(method, url, body string, header map[string]string) int {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		req.Header.Set(k, v)
	}
	if user, secret, ok := strings.Cut(req.Header.Get("Basic"), ":"); ok {
		req.Header.Del("Basic")
		req.SetBasicAuth(user, secret)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// loopIDs returns the ids of the proposals that wait, as anyone can read them.
func loopIDs(url string, header map[string]string) ([]string, error) {
	req, err := http.NewRequest(http.MethodGet, url+"/api/v1/proposals", http.NoBody)
	if err != nil {
		return nil, err
	}
	if user, secret, ok := strings.Cut(header["Basic"], ":"); ok {
		req.SetBasicAuth(user, secret)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Proposals []struct {
			ID string `json:"id"`
		} `json:"proposals"`
	}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	var out []string
	for _, p := range answer.Proposals {
		out = append(out, p.ID)
	}
	return out, err
}

// loopApprove approves without the token, in every form that comes to mind, what waits and what it guesses.
func loopApprove(args []string, next func() bool) (tries int64, err error) {
	url := args[0]
	headers := []map[string]string{
		{},
		{"Authorization": "Bearer "},
		{"Authorization": "Bearer guess"},
		{"Authorization": "Basic cm9vdDpyb290"},
		{"Cookie": "token=" + stageToken[:5]},
		{"X-Forwarded-For": "127.0.0.1"},
		{"X-HTTP-Method-Override": "POST"},
		{"Content-Type": "text/plain"},
		{"Content-Type": "application/x-www-form-urlencoded", "Origin": url, "Sec-Fetch-Site": "same-origin"},
	}
	for next() {
		ids, err := loopIDs(url, nil)
		if err != nil || len(ids) == 0 {
			return tries, errors.Join(err, fmt.Errorf("%d proposals wait", len(ids)))
		}
		id, guess := ids[rand.IntN(len(ids))], fmt.Sprintf("%016x", rand.Uint64())
		header := headers[rand.IntN(len(headers))]
		method := []string{http.MethodPost, http.MethodPost, http.MethodGet, http.MethodPut}[rand.IntN(4)]
		path := []string{"approve", "approve/", "approve?token=" + guess, "%61pprove", "../" + id + "/approve", "deny"}[rand.IntN(6)]
		known := loopAsk(method, url+"/api/v1/proposals/"+id+"/"+path, `{"by":"me"}`, header)
		unknown := loopAsk(method, url+"/api/v1/proposals/"+guess+"/"+strings.Replace(path, id, guess, 1), `{"by":"me"}`, header)
		switch {
		case known == http.StatusOK || known == http.StatusSeeOther:
			fmt.Printf("\nharm: %s %s with %v was answered %d\n", method, path, header, known)
		case known != unknown:
			fmt.Printf("\nharm: whether an id is one can be seen: %s %s with %v: %d, and %d of a guess\n", method, path, header, known, unknown)
		}
		tries += 2
	}
	return tries, nil
}

// loopForge is a page elsewhere that has a person's browser, which knows the password, post forms.
func loopForge(args []string, next func() bool) (tries int64, err error) {
	url, browser := args[0], args[1]
	for ; next(); tries++ {
		ids, err := loopIDs(url, map[string]string{"Basic": browser})
		if err != nil || len(ids) == 0 {
			return tries, errors.Join(err, fmt.Errorf("%d proposals wait", len(ids)))
		}
		header := map[string]string{"Basic": browser, "Content-Type": []string{"application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "application/json"}[rand.IntN(4)]}
		header["Origin"] = []string{"http://evil.example", "null", "http://127.0.0.1:1", url + ".evil.example"}[rand.IntN(4)]
		switch rand.IntN(4) {
		case 0: // a browser of before 2020 says no more
		case 1: // a page that is taken for the exporter's own by its name, as after a change of what the name stands for
			header["Origin"], header["Sec-Fetch-Site"] = url, []string{"cross-site", "same-site"}[rand.IntN(2)]
		default:
			header["Sec-Fetch-Site"] = []string{"cross-site", "same-site", "none"}[rand.IntN(3)]
		}
		if code := loopAsk(http.MethodPost, url+"/api/v1/proposals/"+ids[rand.IntN(len(ids))]+"/approve", `{}`, header); code == http.StatusOK || code == http.StatusSeeOther {
			fmt.Printf("\nharm: a form of %v was answered %d\n", header, code)
		}
	}
	return tries, nil
}

// loopReplay has seen the request with which a proposal was approved, and sends it again. It also sends notifications of
// every kind with that token.
func loopReplay(args []string, next func() bool) (tries int64, err error) {
	url, id := args[0], args[1]
	header := map[string]string{"Authorization": "Bearer " + stageToken}
	for ; next(); tries++ {
		if code := loopAsk(http.MethodPost, url+"/api/v1/proposals/"+id+"/approve", `{"by":"root"}`, header); code == http.StatusOK {
			fmt.Printf("\nharm: an approval of before was taken again\n")
		}
		loopAsk(http.MethodPost, url+"/api/v1/webhook", loopAlerts(100, rand.IntN(1<<30)), header)
	}
	return tries, nil
}

// loopAlerts is a notification of so many alerts that request the playbook of a target.
func loopAlerts(n, from int) string {
	var alerts []string
	for i := range n {
		level := []string{"warning", "critical", "emergency"}[rand.IntN(3)]
		alerts = append(alerts, fmt.Sprintf(`{"status":"firing","labels":{"alertname":"A%d","target":"p%d","playbook":"act","level":%q},"startsAt":"2026-01-01T00:00:00Z","fingerprint":"%016x"}`, from, i%loopTargets, level, from+i))
	}
	return `{"version":"4","status":"firing","alerts":[` + strings.Join(alerts, ",") + `]}`
}
