package container

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	mostKnown      = 4096 // containers that are remembered
	firstLookAgain = time.Second
	lastLookAgain  = 5 * time.Minute

	unnamed = "unnamed" // stands for a name that is not known
	pause   = "pause"   // the name of the container that only holds the namespaces of a pod
)

// Container is what is known of one container, or of a pod when it has no ID. What is not known is "".
type Container struct {
	Ref
	Name           string // in its pod, or as its engine knows it
	Image          string // as it was asked for, such as docker.io/library/nginx:1.25
	Pod, Namespace string

	// Sandbox says that it runs nothing of its own: it holds the namespaces of a pod.
	Sandbox bool
}

// Owner returns the pod's name without what changes with each start of it.
func (c *Container) Owner() string { return Owner(c.Pod) }

// Path names the container the same way after each restart: namespace/owner/name in Kubernetes,
// pod/name in a pod of Podman, else its name.
func (c *Container) Path() string {
	name := cmp.Or(c.Name, unnamed)
	switch {
	case c.Pod != "" && c.ID == "":
		return c.PodPath()
	case c.Pod != "":
		return c.PodPath() + "/" + name
	case c.Name == "":
		return unnamed + "-" + cmp.Or(c.Engine, "container")
	}
	return name
}

// PodPath names the pod the same way after each restart, "" when it is in none that is known.
func (c *Container) PodPath() string {
	if c.Namespace == "" || c.Pod == "" {
		return c.Pod
	}
	return c.Namespace + "/" + c.Owner()
}

// complete reports whether nothing more is to be found.
func (c *Container) complete() bool {
	return (c.ID == "" || c.Sandbox || c.Name != "" && c.Image != "") && (c.PodUID == "" || c.Pod != "")
}

// Options configure a Resolver.
type Options struct {
	RootFS string       // where the host's root is mounted; default /
	Logger *slog.Logger // default: discard
}

// Resolver finds containers by the cgroups of processes. It is safe for concurrent use.
type Resolver struct {
	root   rootfs
	logger *slog.Logger

	mu     sync.Mutex
	known  map[string]*entry // by id, or by the uid of a pod
	logs   logs
	warned map[string]bool
}

// entry is a container as it was last looked up.
type entry struct {
	of   *Container
	err  error
	next time.Time // it is not looked up again before; only while it is not complete
	wait time.Duration
}

// NewResolver returns a Resolver that has read nothing yet.
func NewResolver(o Options) *Resolver {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Resolver{root: rootfs(cmp.Or(o.RootFS, "/")), logger: o.Logger, known: make(map[string]*entry), warned: make(map[string]bool)}
}

// Of returns the container of a cgroup, nil when it is in none. The container is not to be changed. The
// error says why something of it is not known.
func (r *Resolver) Of(now time.Time, cgroup string) (*Container, error) {
	ref, ok := Parse(cgroup)
	if !ok {
		return nil, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := cmp.Or(ref.ID, ref.PodUID)
	e := r.known[key]
	switch {
	case e == nil:
		if len(r.known) >= mostKnown {
			clear(r.known)
		}
		e = &entry{}
		r.known[key] = e
	case e.of.complete() || now.Before(e.next) && now.Add(lastLookAgain).After(e.next):
		return e.of, e.err
	}
	e.of, e.err = r.lookUp(now, ref)
	e.wait = min(max(2*e.wait, firstLookAgain), lastLookAgain)
	e.next = now.Add(e.wait)
	return e.of, e.err
}

// lookUp asks everything that may know the container, those first that cost least.
func (r *Resolver) lookUp(now time.Time, ref Ref) (*Container, error) {
	c := &Container{Ref: ref}
	var errs []error
	for _, s := range sources {
		if c.complete() {
			break
		}
		if !s.knows(ref) {
			continue
		}
		if err := s.read(r, now, c); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
			r.warn(s.name, err)
		}
	}
	if c.complete() {
		return c, nil
	}
	return c, errors.Join(append(errs, fmt.Errorf("container %.12s: nothing on this host names %s", cmp.Or(ref.ID, ref.PodUID), strings.Join(c.missing(), " and ")))...)
}

func (c *Container) missing() []string {
	var out []string
	if c.ID != "" && c.Name == "" {
		out = append(out, "it")
	}
	if c.ID != "" && c.Image == "" {
		out = append(out, "its image")
	}
	if c.PodUID != "" && c.Pod == "" {
		out = append(out, "its pod")
	}
	return out
}

// warn logs the first error of a source.
func (r *Resolver) warn(source string, err error) {
	if r.warned[source] {
		return
	}
	r.warned[source] = true
	r.logger.Warn("containers may be without their names and images, because this cannot be read", "source", source, "err", err)
}

// add fills what is not known yet.
func (c *Container) add(o Container) {
	c.Name, c.Image = cmp.Or(c.Name, clean(o.Name)), cmp.Or(c.Image, clean(o.Image))
	c.Pod, c.Namespace = cmp.Or(c.Pod, clean(o.Pod)), cmp.Or(c.Namespace, clean(o.Namespace))
	if c.Sandbox = c.Sandbox || o.Sandbox; c.Sandbox {
		c.Name = pause
	}
	c.PodUID, c.Engine = cmp.Or(c.PodUID, clean(o.PodUID)), cmp.Or(c.Engine, o.Engine)
}

// longestText bounds what is taken from a file as a name: an image has at most 255 characters and a
// digest.
const longestText = 400

// clean refuses what is not a name: it becomes the value of a label.
func clean(s string) string {
	if len(s) > longestText || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return ""
	}
	return s
}
