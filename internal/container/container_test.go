package container

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var epoch = time.UnixMilli(1_700_000_000_000)

// host is a folder that stands for the root of a host.
type host struct {
	t   testing.TB
	dir string
	log bytes.Buffer
	*Resolver
}

func newHost(t testing.TB) *host {
	h := &host{t: t, dir: t.TempDir()}
	h.Resolver = NewResolver(Options{RootFS: h.dir, Logger: slog.New(slog.NewTextHandler(&h.log, nil))})
	return h
}

func (h *host) write(name, text string) {
	h.t.Helper()
	full := filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) link(target, name string) {
	h.t.Helper()
	full := filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Symlink(target, full); err != nil {
		h.t.Fatal(err)
	}
}

// The files as the engines write them, shortened: see the comment at each reader for the source.
const (
	dockerFile = `{"StreamConfig":{},"State":{"Running":true,"Pid":812},"ID":"` + idA + `","Created":"2026-11-29T08:00:00Z","Path":"node",
		"Config":{"Hostname":"26971d13a55d","Image":"ghcr.io/shop/web:1.4","Labels":{"com.docker.compose.project":"shop"}},
		"Image":"sha256:aa","Name":"/shop-web-1","Driver":"overlay2","RestartCount":3}`
	dockerPodFile = `{"ID":"` + idA + `","Config":{"Image":"sha256:bb","Labels":{"io.kubernetes.container.name":"web","io.kubernetes.docker.type":"container",
		"io.kubernetes.pod.name":"orchestrator-7d4b9c6f5-x2x9z","io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.uid":"` + uid + `"}},
		"Name":"/k8s_web_orchestrator-7d4b9c6f5-x2x9z_shop_` + uid + `_0"}`
	podmanFile = `[{"id":"` + idB + `","names":["other"],"metadata":""},
		{"id":"` + idA + `","names":["web"],"image":"cc","layer":"dd","metadata":"{\"image-name\":\"docker.io/library/nginx:1.25\",\"image-id\":\"cc\",\"name\":\"web\",\"created-at\":1700000000}","created":"2026-11-29T08:00:00Z","flags":{"MountLabel":""}}]`
	crioFile = `[{"id":"` + idA + `","names":["k8s_web_orchestrator-7d4b9c6f5-x2x9z_shop_` + uid + `_0"],
		"metadata":"{\"pod-name\":\"orchestrator-7d4b9c6f5-x2x9z\",\"pod-id\":\"ee\",\"image-name\":\"quay.io/shop/web:1.4\",\"name\":\"k8s_web\",\"metadata-name\":\"web\"}"},
		{"id":"` + idB + `","names":["k8s_POD_orchestrator-7d4b9c6f5-x2x9z_shop_` + uid + `_0"],
		"metadata":"{\"pod-name\":\"orchestrator-7d4b9c6f5-x2x9z\",\"metadata-name\":\"orchestrator-7d4b9c6f5-x2x9z\",\"namespace\":\"shop\",\"pod\":true}"}]`
	containerdFile = `{"ociVersion":"1.1.0","process":{"args":["node"]},"annotations":{"io.kubernetes.cri.container-name":"web",
		"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.image-name":"ghcr.io/shop/web:1.4","io.kubernetes.cri.sandbox-id":"ff",
		"io.kubernetes.cri.sandbox-name":"orchestrator-7d4b9c6f5-x2x9z","io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.sandbox-uid":"` + uid + `"}}`
	sandboxFile = `{"annotations":{"io.kubernetes.cri.container-type":"sandbox","io.kubernetes.cri.sandbox-name":"orchestrator-7d4b9c6f5-x2x9z",
		"io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.sandbox-uid":"` + uid + `"}}`

	podmanPodFile = `[{"id":"` + idB + `","names":["` + infraB + `"],"metadata":"{\"image-name\":\"localhost/podman-pause:4.3.1-0\",\"name\":\"` + infraB + `\"}"},
		{"id":"` + idA + `","names":["api"],"metadata":"{\"image-name\":\"localhost/shop/web:1\",\"name\":\"api\"}"}]`
	infraFile = `{"ociVersion":"1.0.2-dev","hostname":"shop","annotations":{"io.kubernetes.cri-o.ContainerType":"sandbox"}}`

	podmanStore     = "var/lib/containers/storage/overlay-containers/"
	infraB          = "0123456789ab-infra"
	containerdState = "run/containerd/io.containerd.runtime.v2.task/k8s.io/"
	kubepods        = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + low + ".slice/"
	logLink         = "var/log/containers/orchestrator-7d4b9c6f5-x2x9z_shop_web-" + idA + ".log"
	logFolder       = "var/log/pods/shop_orchestrator-7d4b9c6f5-x2x9z_" + uid + "/web/0.log"
)

func TestResolver(t *testing.T) {
	pod := Container{Name: "web", Pod: "orchestrator-7d4b9c6f5-x2x9z", Namespace: "shop"}
	inPod := func(engine, image string) Container {
		c := pod
		c.Ref, c.Image = Ref{Engine: engine, ID: idA, PodUID: uid}, image
		return c
	}
	tests := []struct {
		name   string
		files  func(h *host)
		cgroup string
		want   Container
		path   string
		err    string
	}{
		{
			"docker", func(h *host) { h.write("var/lib/docker/containers/"+idA+"/config.v2.json", dockerFile) },
			"/system.slice/docker-" + idA + ".scope",
			Container{Ref: Ref{Engine: Docker, ID: idA}, Name: "shop-web-1", Image: "ghcr.io/shop/web:1.4"},
			"shop-web-1", "",
		}, {
			"docker's folder is a link that is absolute on the host", func(h *host) {
				h.write("data/docker/containers/"+idA+"/config.v2.json", dockerFile)
				h.link("/data/docker", "var/lib/docker")
			}, "/docker/" + idA,
			Container{Ref: Ref{Engine: Docker, ID: idA}, Name: "shop-web-1", Image: "ghcr.io/shop/web:1.4"},
			"shop-web-1", "",
		}, {
			"docker in a pod", func(h *host) { h.write("var/lib/docker/containers/"+idA+"/config.v2.json", dockerPodFile) },
			"/kubepods/burstable/pod" + uid + "/" + idA, inPod(Docker, "sha256:bb"), "shop/orchestrator/web", "",
		}, {
			"podman", func(h *host) { h.write("var/lib/containers/storage/overlay-containers/containers.json", podmanFile) },
			"/machine.slice/libpod-" + idA + ".scope/container",
			Container{Ref: Ref{Engine: Podman, ID: idA}, Name: "web", Image: "docker.io/library/nginx:1.25"},
			"web", "",
		}, {
			"podman run --rm", func(h *host) {
				h.write("var/lib/containers/storage/overlay-containers/containers.json", "[]")
				h.write("var/lib/containers/storage/overlay-containers/volatile-containers.json", podmanFile)
			}, "/machine.slice/libpod-" + idA + ".scope",
			Container{Ref: Ref{Engine: Podman, ID: idA}, Name: "web", Image: "docker.io/library/nginx:1.25"},
			"web", "",
		}, {
			"podman in a pod", func(h *host) {
				h.write(podmanStore+"containers.json", podmanPodFile)
				h.write(podmanStore+idB+"/userdata/config.json", infraFile)
			}, "/machine.slice/machine-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope/container",
			Container{Ref: Ref{Engine: Podman, ID: idA, PodUID: idB}, Name: "api", Image: "localhost/shop/web:1", Pod: "shop"},
			"shop/api", "",
		}, {
			"the container that holds a pod of podman", func(h *host) {
				h.write(podmanStore+"containers.json", podmanPodFile)
				h.write(podmanStore+idB+"/userdata/config.json", infraFile)
			}, "/libpod_parent/" + idB + "/libpod-" + idB,
			Container{Ref: Ref{Engine: Podman, ID: idB, PodUID: idB}, Name: "pause", Image: "localhost/podman-pause:4.3.1-0", Pod: "shop", Sandbox: true},
			"shop/pause", "",
		}, {
			"a pod of podman", func(h *host) {
				h.write(podmanStore+"containers.json", podmanPodFile)
				h.write(podmanStore+idB+"/userdata/config.json", infraFile)
			}, "/machine.slice/machine-libpod_pod_" + idB + ".slice",
			Container{Ref: Ref{Engine: Podman, PodUID: idB}, Pod: "shop"},
			"shop", "",
		}, {
			"a pod of podman without a container that holds it", func(h *host) {
				h.write(podmanStore+"containers.json", podmanFile)
			}, "/machine.slice/machine-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope",
			Container{Ref: Ref{Engine: Podman, ID: idA, PodUID: idB}, Name: "web", Image: "docker.io/library/nginx:1.25"},
			"web", "nothing on this host names its pod",
		}, {
			"a store that names a container by a path", func(h *host) {
				h.write(podmanStore+"containers.json", strings.Replace(podmanPodFile, `"id":"`+idB, `"id":"../secret`, 1))
				h.write("var/lib/containers/storage/secret/userdata/config.json", infraFile)
			}, "/machine.slice/machine-libpod_pod_" + idB + ".slice",
			Container{Ref: Ref{PodUID: idB}},
			"unnamed-container", "nothing on this host names its pod",
		}, {
			"a user's podman", func(h *host) {
				me := strconv.Itoa(os.Getuid())
				h.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nvideo:x:"+me+"1:1::/wrong:\nvideo:x:4242:1000::/home/video:/bin/sh\n")
				h.write("home/video/.local/share/containers/storage/overlay-containers/containers.json", podmanFile)
				if err := os.Chown(filepath.Join(h.dir, "home/video/.local/share/containers/storage/overlay-containers/containers.json"), 4242, -1); err != nil {
					h.t.Skip("a file of another user cannot be made here")
				}
			}, "/user.slice/user-4242.slice/user@4242.service/user.slice/libpod-" + idA + ".scope/container",
			Container{Ref: Ref{Engine: Podman, ID: idA, UID: 4242}, Name: "web", Image: "docker.io/library/nginx:1.25"},
			"web", "",
		}, {
			"a user's podman whose list belongs to another", func(h *host) {
				h.write("etc/passwd", "video:x:4242:1000::/home/video:/bin/sh\n")
				h.write("home/video/.local/share/containers/storage/overlay-containers/containers.json", podmanFile)
			}, "/user.slice/user-4242.slice/libpod-" + idA + ".scope",
			Container{Ref: Ref{Engine: Podman, ID: idA, UID: 4242}},
			"unnamed-podman", "does not belong to user 4242",
		}, {
			"a user's podman behind a link", func(h *host) {
				h.write("etc/passwd", "video:x:4242:1000::/home/video:/bin/sh\n")
				h.write("secret/overlay-containers/containers.json", podmanFile)
				h.link(filepath.Join(h.dir, "secret"), "home/video/.local/share/containers/storage")
			}, "/user.slice/user-4242.slice/libpod-" + idA + ".scope",
			Container{Ref: Ref{Engine: Podman, ID: idA, UID: 4242}},
			"unnamed-podman", "not a directory",
		}, {
			"cri-o", func(h *host) { h.write("var/lib/containers/storage/overlay-containers/containers.json", crioFile) },
			kubepods + "crio-" + idA + ".scope", inPod(CRIO, "quay.io/shop/web:1.4"), "shop/orchestrator/web", "",
		}, {
			"cri-o's sandbox", func(h *host) { h.write("var/lib/containers/storage/overlay-containers/containers.json", crioFile) },
			kubepods + "crio-" + idB + ".scope",
			Container{Ref: Ref{Engine: CRIO, ID: idB, PodUID: uid}, Name: "pause", Pod: pod.Pod, Namespace: "shop", Sandbox: true},
			"shop/orchestrator/pause", "",
		}, {
			"containerd", func(h *host) { h.write(containerdState+idA+"/config.json", containerdFile) },
			kubepods + "cri-containerd-" + idA + ".scope", inPod(Containerd, "ghcr.io/shop/web:1.4"), "shop/orchestrator/web", "",
		}, {
			"containerd of k3s, cgroupfs driver", func(h *host) {
				h.write("run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/"+idA+"/config.json", containerdFile)
			}, "/kubepods/burstable/pod" + uid + "/" + idA, inPod(Containerd, "ghcr.io/shop/web:1.4"), "shop/orchestrator/web", "",
		}, {
			"containerd's sandbox", func(h *host) { h.write(containerdState+idA+"/config.json", sandboxFile) },
			kubepods + "cri-containerd-" + idA + ".scope",
			Container{Ref: Ref{Engine: Containerd, ID: idA, PodUID: uid}, Name: "pause", Pod: pod.Pod, Namespace: "shop", Sandbox: true},
			"shop/orchestrator/pause", "",
		}, {
			"nerdctl", func(h *host) {
				h.write("run/containerd/io.containerd.runtime.v2.task/default/"+idA+"/config.json", `{"annotations":{"nerdctl/name":"web"}}`)
			}, "/default/" + idA, Container{Ref: Ref{Engine: Containerd, ID: idA}, Name: "web"}, "web", "nothing on this host names its image",
		}, {
			"the kubelet's links alone", func(h *host) { h.link("/var/log/pods/x", logLink); h.write(logFolder, "") },
			kubepods + "cri-containerd-" + idA + ".scope", inPod(Containerd, ""), "shop/orchestrator/web", "nothing on this host names its image",
		}, {
			"a neighbor in the pod of the exporter, whose path could not be resolved", func(h *host) { h.link("/var/log/pods/x", logLink) },
			"/../cri-containerd-" + idA + ".scope",
			Container{Ref: Ref{Engine: Containerd, ID: idA}, Name: "web", Pod: pod.Pod, Namespace: "shop"},
			"shop/orchestrator/web", "names its image",
		}, {
			"a whole pod", func(h *host) { h.write(logFolder, "") }, strings.TrimSuffix(kubepods, "/"),
			Container{Ref: Ref{PodUID: uid}, Pod: pod.Pod, Namespace: "shop"},
			"shop/orchestrator", "",
		}, {
			"a pod's container that nothing names", func(h *host) { h.write(logFolder, "") }, kubepods + "cri-containerd-" + idA + ".scope",
			Container{Ref: Ref{Engine: Containerd, ID: idA, PodUID: uid}, Pod: pod.Pod, Namespace: "shop"},
			"shop/orchestrator/unnamed", "nothing on this host names it and its image",
		}, {
			"a name that is none", func(h *host) {
				h.write("var/lib/docker/containers/"+idA+"/config.v2.json", `{"Name":"/a b\n","Config":{"Image":"x"}}`)
			}, "/docker/" + idA, Container{Ref: Ref{Engine: Docker, ID: idA}, Image: "x"}, "unnamed-docker", "names it",
		}, {
			"a file that is too long", func(h *host) {
				h.write("var/lib/docker/containers/"+idA+"/config.v2.json", dockerFile+strings.Repeat(" ", longestFile))
			}, "/docker/" + idA, Container{Ref: Ref{Engine: Docker, ID: idA}}, "unnamed-docker", "more than the 1048576 that are read",
		}, {
			"a file that is not JSON", func(h *host) { h.write("var/lib/docker/containers/"+idA+"/config.v2.json", "{") },
			"/docker/" + idA,
			Container{Ref: Ref{Engine: Docker, ID: idA}},
			"unnamed-docker", "unexpected end of JSON",
		}, {
			"a link in place of the file", func(h *host) {
				h.write("elsewhere", dockerFile)
				h.link("/elsewhere", "var/lib/docker/containers/"+idA+"/config.v2.json")
			}, "/docker/" + idA, Container{Ref: Ref{Engine: Docker, ID: idA}}, "unnamed-docker", "too many levels of symbolic links",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t)
			tt.files(h)
			got, err := h.Of(epoch, tt.cgroup)
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if got == nil {
				t.Fatal("it is in no container")
			}
			if diff := cmp.Diff(tt.want, *got, cmpopts.EquateComparable()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got.Path() != tt.path {
				t.Errorf("path %q, want %q", got.Path(), tt.path)
			}
		})
	}
}

func TestNoContainer(t *testing.T) {
	if c, err := newHost(t).Of(epoch, "/system.slice/nginx.service"); c != nil || err != nil {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestLooksUpOnce: what is known costs nothing more, and what is not is looked for at growing intervals.
func TestLooksUpOnce(t *testing.T) {
	h := newHost(t)
	cgroup := "/docker/" + idA
	file := "var/lib/docker/containers/" + idA + "/config.v2.json"
	h.write(file, "{")
	first, err := h.Of(epoch, cgroup)
	if err == nil {
		t.Fatal("a broken file is not an error")
	}
	h.write(file, dockerFile)
	if c, err := h.Of(epoch.Add(900*time.Millisecond), cgroup); c != first || err == nil {
		t.Errorf("looked up again after 0.9 s: %+v, %v", c, err)
	}
	found, err := h.Of(epoch.Add(time.Second), cgroup)
	if err != nil || found.Name != "shop-web-1" {
		t.Fatalf("%+v, %v", found, err)
	}
	if err := os.Remove(filepath.Join(h.dir, file)); err != nil {
		t.Fatal(err)
	}
	if c, err := h.Of(epoch.Add(time.Hour), cgroup); c != found || err != nil {
		t.Errorf("looked up again: %+v, %v", c, err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = h.Of(epoch, cgroup) }); n > 0 {
		t.Errorf("a lookup of what is known allocates %v times", n)
	}

	waits := 0
	now := epoch
	for range 3600 {
		now = now.Add(time.Second)
		before := h.known[idB]
		var next time.Time
		if before != nil {
			next = before.next
		}
		if _, err := h.Of(now, "/docker/"+idB); err == nil {
			t.Fatal("a container without a file is not an error")
		}
		if h.known[idB].next != next {
			waits++
		}
	}
	if waits > 22 {
		t.Errorf("looked up %d times in an hour", waits)
	}
	if n := strings.Count(h.log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings, want one: %s", n, h.log.String())
	}
}

func TestKnownIsBounded(t *testing.T) {
	h := newHost(t)
	for i := range 3 * mostKnown {
		id := strconv.Itoa(i)
		_, _ = h.Of(epoch, "/docker/"+strings.Repeat("0", idLength-len(id))+id)
	}
	if len(h.known) > mostKnown {
		t.Errorf("%d containers are remembered", len(h.known))
	}
}

func TestUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	h := newHost(t)
	h.write("var/lib/docker/containers/x", "")
	if err := os.Chmod(filepath.Join(h.dir, "var/lib/docker"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Of(epoch, "/docker/"+idA); !errors.Is(err, os.ErrPermission) {
		t.Errorf("%v", err)
	}
}

func FuzzParseLogs(f *testing.F) {
	f.Add("web-x2x9z_shop_web-" + idA + ".log")
	f.Add("shop_web-x2x9z_" + uid)
	f.Fuzz(func(t *testing.T, name string) {
		if id, c, ok := parseLogLink(name); ok && (!isID(id) || c.Pod+"_"+c.Namespace+"_"+c.Name+"-"+id+".log" != name) {
			t.Errorf("%q gives %q, %+v", name, id, c)
		}
		if uid, c, ok := parseLogFolder(name); ok && c.Namespace+"_"+c.Pod+"_"+uid != name {
			t.Errorf("%q gives %q, %+v", name, uid, c)
		}
	})
}
