package restart

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
)

const (
	accountDir = "/var/run/secrets/kubernetes.io/serviceaccount"
	apiTimeout = 10 * time.Second
	apiPoll    = time.Second
)

// Cluster is how the API server is reached.
type Cluster struct {
	Address string // https://host:port
	Account string // the folder with token, ca.crt and namespace
}

// inCluster returns the API server that the kubelet names to each container.
func inCluster() Cluster {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	c := Cluster{Account: accountDir}
	if host != "" {
		c.Address = "https://" + net.JoinHostPort(host, port)
	}
	return c
}

// kubernetes evicts a pod, which its controller then replaces. An eviction honours disruption budgets; a pod is never
// deleted (https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/).
type kubernetes struct {
	Spec
	cluster Cluster
	http    *http.Client
}

// OpenKubernetes is Open for a pod at another API server.
func OpenKubernetes(s *Spec, c Cluster) (Manager, error) { return newKubernetes(s, c) }

func newKubernetes(s *Spec, c Cluster) (*kubernetes, error) {
	switch {
	case c.Address == "":
		return nil, fmt.Errorf("kubernetes: %w: KUBERNETES_SERVICE_HOST is not set: run in a pod with a service account", ErrUnreachable)
	case s.Pod == "" || s.Namespace == "":
		return nil, fmt.Errorf("kubernetes: %w: the name of its pod is not known", ErrUnknown)
	}
	ca, err := os.ReadFile(filepath.Join(c.Account, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("kubernetes: %w: %w: write automountServiceAccountToken: true", ErrNotAllowed, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("kubernetes: %s holds no certificate", filepath.Join(c.Account, "ca.crt"))
	}
	return &kubernetes{Spec: *s, cluster: c, http: &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
			DialContext: (&net.Dialer{Timeout: engineDial}).DialContext, TLSHandshakeTimeout: engineDial,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// objectMeta is what is written and read of the metadata of an object.
type objectMeta struct {
	Name              string `json:"name,omitempty"`
	Namespace         string `json:"namespace,omitempty"`
	UID               string `json:"uid,omitempty"`
	DeletionTimestamp string `json:"deletionTimestamp,omitempty"`
}

// eviction is the body of a request for an eviction.
type eviction struct {
	APIVersion    string        `json:"apiVersion"`
	Kind          string        `json:"kind"`
	Metadata      objectMeta    `json:"metadata"`
	DeleteOptions deleteOptions `json:"deleteOptions"`
}

type deleteOptions struct {
	Preconditions preconditions `json:"preconditions"`
}

// preconditions name the pod that is meant: one that has replaced it under its name is not evicted.
type preconditions struct {
	UID string `json:"uid"`
}

// accessReview asks what this service account may do.
type accessReview struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Spec       accessSpec `json:"spec"`
	Status     *struct {
		Allowed bool   `json:"allowed"`
		Reason  string `json:"reason"`
	} `json:"status,omitempty"`
}

type accessSpec struct {
	ResourceAttributes attributes `json:"resourceAttributes"`
}

type attributes struct {
	Namespace   string `json:"namespace"`
	Verb        string `json:"verb"`
	Resource    string `json:"resource"`
	Subresource string `json:"subresource,omitempty"`
}

func (k *kubernetes) path() string {
	return "/api/v1/namespaces/" + url.PathEscape(k.Namespace) + "/pods/" + url.PathEscape(k.Pod)
}

// State implements Manager.
func (k *kubernetes) State(ctx context.Context) (State, error) {
	status, raw, err := k.ask(ctx, http.MethodGet, k.path(), nil)
	if err != nil {
		return State{}, err
	}
	if status == http.StatusNotFound {
		return State{Phase: Stopped, Text: "gone"}, nil
	}
	if err := k.judge(status, raw); err != nil {
		return State{}, err
	}
	var pod struct {
		Metadata objectMeta `json:"metadata"`
		Status   struct {
			Phase     string `json:"phase"`
			StartTime string `json:"startTime"`
		} `json:"status"`
	}
	if err := json.Unmarshal(raw, &pod); err != nil || pod.Metadata.UID == "" {
		return State{}, fmt.Errorf("kubernetes: the answer about %s is not understood: %w", k.String(), errors.Join(err, ErrUnreachable))
	}
	st := State{Phase: Busy, Shows: true, Instance: pod.Metadata.UID, Text: pod.Status.Phase, Began: stamp(pod.Status.StartTime)}
	switch {
	case pod.Metadata.DeletionTimestamp != "":
		st.Text = "Terminating"
	case pod.Status.Phase == "Running":
		st.Phase = Running
	case pod.Status.Phase == "Failed":
		st.Phase = Broken
	case pod.Status.Phase == "Succeeded":
		st.Phase = Stopped
	}
	return st, nil
}

// Restart implements Manager. It returns when the pod is gone: its replacement may be on another node.
func (k *kubernetes) Restart(ctx context.Context, from State) error {
	if from.Instance == "" || k.PodUID != "" && k.PodUID != from.Instance {
		return fmt.Errorf("kubernetes: %s: %w: another pod has its name", k.String(), ErrUnknown)
	}
	body := eviction{
		APIVersion: "policy/v1", Kind: "Eviction", Metadata: objectMeta{Name: k.Pod, Namespace: k.Namespace},
		DeleteOptions: deleteOptions{preconditions{from.Instance}},
	}
	status, raw, err := k.ask(ctx, http.MethodPost, k.path()+"/eviction", &body)
	if err != nil {
		return err
	}
	if err := k.judge(status, raw); err != nil {
		return err
	}
	poll := time.NewTicker(apiPoll)
	defer poll.Stop()
	for {
		now, err := k.State(ctx)
		if err == nil && now.Instance != from.Instance {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kubernetes: the eviction of %s was accepted: %w: %w", k.String(), ErrUnseen, ctx.Err())
		case <-poll.C:
		}
	}
}

// ask sends one request and returns its answer.
func (k *kubernetes) ask(ctx context.Context, method, path string, body any) (status int, raw []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var content io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, nil, fmt.Errorf("kubernetes: %w", err)
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, k.cluster.Address+path, content)
	if err != nil {
		return 0, nil, fmt.Errorf("kubernetes: %w", err)
	}
	req.GetBody = nil                                                        // sent once
	token, err := hostfs.ReadLine(filepath.Join(k.cluster.Account, "token")) // the kubelet exchanges it
	if err != nil {
		return 0, nil, fmt.Errorf("kubernetes: %w: %w", ErrNotAllowed, err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := k.http.Do(req)
	if err == nil {
		defer resp.Body.Close()
		raw, err = io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	}
	op, isOp := errors.AsType[*net.OpError](err)
	switch {
	case err == nil:
		return resp.StatusCode, raw, nil
	case method == http.MethodGet, isOp && op.Op == "dial":
		return 0, nil, fmt.Errorf("kubernetes: %w at %s: %w", ErrUnreachable, k.cluster.Address, err)
	}
	return 0, nil, fmt.Errorf("kubernetes: %s: %w: %w", k.String(), ErrUnseen, err)
}

// judge says what an answer means. The message of the API server is for people.
func (k *kubernetes) judge(status int, raw []byte) error {
	var said struct {
		Message string `json:"message"`
		Details struct {
			Causes []struct {
				Reason string `json:"reason"`
			} `json:"causes"`
		} `json:"details"`
	}
	_ = json.Unmarshal(raw, &said)
	budget := false // else a 429 is of a server that has too many requests
	for _, c := range said.Details.Causes {
		budget = budget || c.Reason == "DisruptionBudget"
	}
	switch {
	case status == http.StatusOK, status == http.StatusCreated, status == http.StatusAccepted:
		return nil
	case status == http.StatusTooManyRequests && budget:
		return fmt.Errorf("kubernetes: %s: %w: %s", k.String(), ErrBudget, clip(said.Message))
	case status == http.StatusTooManyRequests:
		return fmt.Errorf("kubernetes: %w: it has too many requests (429): %s", ErrUnreachable, clip(said.Message))
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return fmt.Errorf("kubernetes: %s: %w this service account: apply the Role of deploy/kubernetes/eviction: %s", k.String(), ErrNotAllowed, clip(said.Message))
	case status == http.StatusNotFound:
		return fmt.Errorf("kubernetes: %s: %w: %s", k.String(), ErrUnknown, clip(said.Message))
	case status == http.StatusConflict:
		return fmt.Errorf("kubernetes: %s: %w: %s", k.String(), ErrBusy, clip(said.Message))
	case status >= 500:
		return fmt.Errorf("kubernetes: %s: %w: it answered %d %s", k.String(), ErrUnseen, status, clip(said.Message))
	}
	return fmt.Errorf("kubernetes: %s: it answered %d %s", k.String(), status, clip(said.Message))
}

// Check implements Manager. It asks whether this service account may look at the pod and evict it.
func (k *kubernetes) Check(ctx context.Context) error {
	for _, want := range []attributes{{k.Namespace, "get", "pods", ""}, {k.Namespace, "create", "pods", "eviction"}} {
		review := accessReview{APIVersion: "authorization.k8s.io/v1", Kind: "SelfSubjectAccessReview", Spec: accessSpec{want}}
		status, raw, err := k.ask(ctx, http.MethodPost, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review)
		if err == nil {
			err = k.judge(status, raw)
		}
		if err == nil {
			err = json.Unmarshal(raw, &review)
		}
		switch {
		case err != nil:
			return err
		case review.Status == nil || !review.Status.Allowed:
			what := want.Resource
			if want.Subresource != "" {
				what += "/" + want.Subresource
			}
			return fmt.Errorf("kubernetes: %w this service account to %s %s in %s: apply the Role of deploy/kubernetes/eviction", ErrNotAllowed, want.Verb, what, want.Namespace)
		}
	}
	return nil
}
