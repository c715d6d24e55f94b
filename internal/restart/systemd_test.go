package restart

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const jobPath = godbus.ObjectPath("/org/freedesktop/systemd1/job/7")

// fakeSystemd answers on a bus of its own as systemd does, and counts the restarts.
type fakeSystemd struct {
	t *testing.T

	writing sync.Mutex
	serial  uint32

	mu       sync.Mutex
	unit     map[string]godbus.Variant
	host     string
	restarts []string // name and mode
	asked    int      // restarts in a mode that is refused
	says     string   // the text of an error
	refuse   string   // the name of the error for a restart; "" = it is accepted
	result   string   // of the job; "" = no signal is sent
	hang     bool     // a restart is not answered
	conns    []net.Conn
	wg       sync.WaitGroup
}

func newFakeSystemd(t *testing.T) *fakeSystemd {
	f := &fakeSystemd{t: t, host: "running", result: "done", unit: map[string]godbus.Variant{
		"LoadState": godbus.MakeVariant("loaded"), "ActiveState": godbus.MakeVariant("active"), "SubState": godbus.MakeVariant("running"),
		"InvocationID": godbus.MakeVariant([]byte{1}), "ActiveEnterTimestamp": godbus.MakeVariant(uint64(1e15)), "ActiveExitTimestamp": godbus.MakeVariant(uint64(0)),
		"Job": godbus.MakeVariant(struct {
			ID   uint32
			Path godbus.ObjectPath
		}{0, "/"}),
	}}
	t.Cleanup(func() {
		f.mu.Lock()
		for _, c := range f.conns {
			c.Close()
		}
		f.mu.Unlock()
		f.wg.Wait()
	})
	return f
}

func (f *fakeSystemd) set(key string, v any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unit[key] = godbus.MakeVariant(v)
}

// dial is what the manager connects by.
func (f *fakeSystemd) dial(ctx context.Context) (*dbus.Conn, error) {
	return dbus.NewConnection(func() (*godbus.Conn, error) {
		ours, theirs := net.Pipe()
		f.mu.Lock()
		f.conns = append(f.conns, theirs)
		f.mu.Unlock()
		f.wg.Go(func() { f.serve(theirs) })
		c, err := godbus.NewConn(ours, godbus.WithContext(ctx))
		if err == nil {
			err = c.Auth([]godbus.Auth{godbus.AuthExternal("0")})
		}
		if err == nil {
			err = c.Hello()
		}
		return c, err
	})
}

// serve speaks the protocol of a bus: the authentication in lines, then messages.
func (f *fakeSystemd) serve(c net.Conn) {
	r := bufio.NewReader(c)
	if _, err := r.ReadByte(); err != nil {
		return
	}
	for {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			return
		case strings.HasPrefix(line, "BEGIN"):
			f.messages(r, c)
			return
		case line == "AUTH\r\n":
			_, err = c.Write([]byte("REJECTED EXTERNAL\r\n"))
		case strings.HasPrefix(line, "AUTH"):
			_, err = c.Write([]byte("OK 0123456789abcdef0123456789abcdef\r\n"))
		default:
			_, err = c.Write([]byte("ERROR\r\n"))
		}
		if err != nil {
			return
		}
	}
}

func (f *fakeSystemd) messages(r *bufio.Reader, c net.Conn) {
	for {
		m, err := godbus.DecodeMessage(r)
		if err != nil {
			return
		}
		member, _ := m.Headers[godbus.FieldMember].Value().(string)
		name, body, silent := f.answer(member, m.Body)
		if silent {
			continue
		}
		reply := &godbus.Message{Type: godbus.TypeMethodReply, Body: body, Headers: map[godbus.HeaderField]godbus.Variant{
			godbus.FieldReplySerial: godbus.MakeVariant(m.Serial()),
		}}
		if name != "" {
			reply.Type, reply.Body = godbus.TypeError, []any{cmp.Or(f.says, "as the test wants it")}
			reply.Headers[godbus.FieldErrorName] = godbus.MakeVariant(name)
		}
		f.send(c, reply)
		if member == "RestartUnit" && name == "" {
			f.removed()
		}
	}
}

func (f *fakeSystemd) send(c net.Conn, m *godbus.Message) {
	if len(m.Body) > 0 {
		m.Headers[godbus.FieldSignature] = godbus.MakeVariant(godbus.SignatureOf(m.Body...))
	}
	var raw bytes.Buffer
	if err := m.EncodeTo(&raw, binary.LittleEndian); err != nil {
		f.t.Error(err)
		return
	}
	f.writing.Lock()
	defer f.writing.Unlock()
	f.serial++
	binary.LittleEndian.PutUint32(raw.Bytes()[8:], f.serial) // which the library sets for clients alone
	_, _ = c.Write(raw.Bytes())
}

// removed sends the end of the job to every connection.
func (f *fakeSystemd) removed() {
	f.mu.Lock()
	conns, result := f.conns, f.result
	f.mu.Unlock()
	if result == "" {
		return
	}
	for _, c := range conns {
		f.send(c, &godbus.Message{Type: godbus.TypeSignal, Body: []any{uint32(7), jobPath, "app.service", result}, Headers: map[godbus.HeaderField]godbus.Variant{
			godbus.FieldPath: godbus.MakeVariant(godbus.ObjectPath("/org/freedesktop/systemd1")), godbus.FieldInterface: godbus.MakeVariant("org.freedesktop.systemd1.Manager"),
			godbus.FieldMember: godbus.MakeVariant("JobRemoved"), godbus.FieldSender: godbus.MakeVariant(":1.0"),
		}})
	}
}

func (f *fakeSystemd) answer(member string, body []any) (errName string, reply []any, silent bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch member {
	case "Hello":
		return "", []any{":1.1"}, false
	case "GetAll":
		return "", []any{maps.Clone(f.unit)}, false
	case "Get":
		return "", []any{godbus.MakeVariant(f.host)}, false
	case "RestartUnit":
		if body[1] == "triggering" { // as systemd does: the mode is looked at last, once it is known
			f.asked++
			return cmp.Or(f.refuse, invalid), nil, false
		}
		f.restarts = append(f.restarts, body[0].(string)+" "+body[1].(string))
		if f.refuse == "" && f.result == "done" {
			f.unit["InvocationID"] = godbus.MakeVariant([]byte{2})
		}
		return f.refuse, []any{jobPath}, f.hang
	}
	return "", nil, false
}

func TestSystemdState(t *testing.T) {
	f := func(name string, change func(*fakeSystemd), want Phase, instance string) {
		t.Run(name, func(t *testing.T) {
			bus := newFakeSystemd(t)
			change(bus)
			got, err := newSystemd("app.service", bus.dial).State(t.Context())
			if err != nil || got.Phase != want || got.Instance != instance || !got.Shows {
				t.Errorf("%+v, %v, want %s %q", got, err, want, instance)
			}
		})
	}
	active := func(state string) func(*fakeSystemd) {
		return func(b *fakeSystemd) { b.set("ActiveState", state) }
	}
	f("running", func(*fakeSystemd) {}, Running, "01")
	f("failed", active("failed"), Broken, "01")
	f("stopped", active("inactive"), Stopped, "")
	f("starting", active("activating"), Busy, "01")
	f("stopping", active("deactivating"), Busy, "01")
	f("a job waits", func(b *fakeSystemd) {
		b.set("Job", struct {
			ID   uint32
			Path godbus.ObjectPath
		}{7, jobPath})
	}, Busy, "01")
	f("the host shuts down", func(b *fakeSystemd) { b.host = "stopping" }, Closing, "01")
}

func TestSystemdRestart(t *testing.T) {
	f := func(name string, change func(*fakeSystemd), want error) {
		t.Run(name, func(t *testing.T) {
			bus := newFakeSystemd(t)
			change(bus)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			s := newSystemd("app.service", bus.dial)
			from, err := s.State(ctx)
			if err != nil {
				t.Fatal(err)
			}
			err = s.Restart(ctx, from)
			if want == nil && err != nil || want != nil && !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
			bus.mu.Lock()
			defer bus.mu.Unlock()
			if len(bus.restarts) != 1 || bus.restarts[0] != "app.service fail" {
				t.Errorf("asked for %q, want app.service once, refusing jobs that conflict", bus.restarts)
			}
		})
	}
	refused := func(name string) func(*fakeSystemd) { return func(b *fakeSystemd) { b.refuse = name } }
	f("done", func(*fakeSystemd) {}, nil)
	f("done, with the signal lost", func(b *fakeSystemd) {
		b.result = ""
		b.set("InvocationID", []byte{1})
		b.after(func() { b.set("InvocationID", []byte{2}) })
	}, nil)
	f("the job failed", func(b *fakeSystemd) { b.result = "failed" }, ErrEnded)
	f("the job was canceled", func(b *fakeSystemd) { b.result = "canceled" }, ErrEnded)
	f("polkit refuses", refused("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"), ErrNotAllowed)
	f("denied", refused("org.freedesktop.DBus.Error.AccessDenied"), ErrNotAllowed)
	f("someone stops it", refused("org.freedesktop.systemd1.TransactionIsDestructive"), ErrBusy)
	f("no such unit", refused("org.freedesktop.systemd1.NoSuchUnit"), ErrUnknown)
	f("no answer", func(b *fakeSystemd) { b.hang = true }, ErrUnseen)
	f("no end", func(b *fakeSystemd) { b.result = "" }, ErrUnseen)
}

// after runs f once a restart was requested.
func (f *fakeSystemd) after(do func()) {
	f.wg.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			f.mu.Lock()
			n := len(f.restarts)
			f.mu.Unlock()
			if n > 0 {
				do()
				return
			}
		}
	})
}

// TestSystemdCheck: it says whether the right is there, and restarts nothing.
func TestSystemdCheck(t *testing.T) {
	f := func(name string, change func(*fakeSystemd), want string) {
		t.Run(name, func(t *testing.T) {
			bus := newFakeSystemd(t)
			bus.says = "--job-mode=triggering is only valid for stop."
			change(bus)
			got := ""
			if err := newSystemd("app.service", bus.dial).Check(t.Context()); err != nil {
				got = err.Error()
			}
			if want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			bus.mu.Lock()
			defer bus.mu.Unlock()
			if len(bus.restarts) > 0 || bus.asked != 1 {
				t.Errorf("asked for %q, and %d times about the right", bus.restarts, bus.asked)
			}
		})
	}
	f("it is there", func(*fakeSystemd) {}, "")
	f("polkit refuses", func(b *fakeSystemd) { b.refuse = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired" }, "refuses this user: write the rule that spillway_exporter export --polkit app.service prints")
	f("denied", func(b *fakeSystemd) { b.refuse = "org.freedesktop.DBus.Error.AccessDenied" }, "refuses this user")
	f("an old systemd", func(b *fakeSystemd) { b.says = "Job mode triggering invalid" }, ErrUnproven.Error())
	f("it has failed", func(b *fakeSystemd) { b.set("ActiveState", "failed") }, "is failed (running): it would not be restarted")
}

func TestSystemdUnknown(t *testing.T) {
	bus := newFakeSystemd(t)
	bus.set("LoadState", "not-found")
	if _, err := newSystemd("app.service", bus.dial).State(t.Context()); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v, want ErrUnknown", err)
	}
	gone := newSystemd("app.service", func(context.Context) (*dbus.Conn, error) { return nil, errors.New("no bus") })
	if err := gone.Restart(t.Context(), State{}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("%v, want ErrUnreachable", err)
	}
}
