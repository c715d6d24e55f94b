package heap

import (
	"bytes"
	"strings"
	"testing"
)

// checkAmount fails when an Amount is not what a decoder may give away.
func checkAmount(t *testing.T, name string, a Amount) {
	t.Helper()
	if a.Bytes < 0 || a.Bytes > maxHeapBytes || (!a.OK && a.Bytes != 0) {
		t.Errorf("%s = %+v", name, a)
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add([]byte(`{"id":1,"result":{"usedSize":1,"totalSize":2}}`))
	f.Add([]byte(`{"method":"NodeRuntime.waitingForDisconnect"}`))
	f.Add([]byte(`{"id":1,"error":{"code":-32601,"message":"no"}}`))
	f.Add([]byte(`[{"id":null}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeMessage(data)
		if err == nil && m.ID <= 0 && m.Method == "" {
			t.Errorf("%q is taken for a message: %+v", data, m)
		}
		if err == nil && m.Error != nil && len(m.err().Error()) > 400 {
			t.Errorf("an error of %d bytes goes into the log", len(m.err().Error()))
		}
	})
}

func FuzzDecodeHeapUsage(f *testing.F) {
	f.Add([]byte(`{"usedSize":4293096,"totalSize":6017024}`))
	f.Add([]byte(`{"usedSize":-1,"totalSize":1e308}`))
	f.Add([]byte(`{"usedSize":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		used, total, err := decodeHeapUsage(data)
		checkAmount(t, "used", used)
		checkAmount(t, "total", total)
		if (err == nil) != (used.OK && total.OK) {
			t.Errorf("%q: used %+v, total %+v, error %v", data, used, total, err)
		}
	})
}

func FuzzDecodeLimit(f *testing.F) {
	f.Add([]byte(`{"result":{"type":"number","value":318767104,"description":"318767104"}}`))
	f.Add([]byte(`{"result":{"type":"number","unserializableValue":"NaN"}}`))
	f.Add([]byte(`{"result":{"type":"object"},"exceptionDetails":{"text":"Uncaught"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		limit, err := decodeLimit(data)
		checkAmount(t, "limit", limit)
		if (err == nil) != limit.OK || (limit.OK && limit.Bytes == 0) {
			t.Errorf("%q: limit %+v, error %v", data, limit, err)
		}
	})
}

func FuzzDecodeList(f *testing.F) {
	f.Add([]byte(`[{"id":"a","type":"node","webSocketDebuggerUrl":"ws://127.0.0.1:9229/fce7fe93"}]`))
	f.Add([]byte(`[{"id":"a","type":"node","webSocketDebuggerUrl":"ws://evil@host/%2e%2e?x#y"}]`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := decodeList(data)
		if err != nil {
			return
		}
		if d.id == "" || !strings.HasPrefix(d.path, "/") || strings.ContainsAny(d.path, "?# \r\n") {
			t.Errorf("%q: debuggee %+v", data, d)
		}
	})
}

func FuzzDecodeMemStats(f *testing.F) {
	f.Add([]byte(trailer))
	f.Add([]byte("# runtime.MemStats\n# HeapAlloc = 9223372036854775807\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		u, err := decodeMemStats(bytes.NewReader(data))
		checkAmount(t, "used", u.Used)
		checkAmount(t, "committed", u.Committed)
		if (err == nil) != (u.Used.OK && u.Committed.OK) || u.Limit.OK {
			t.Errorf("%q: %+v, error %v", data, u, err)
		}
	})
}
