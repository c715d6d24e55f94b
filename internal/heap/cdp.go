package heap

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The messages of the inspector protocol that we send and what is read from the answers.
// Source: https://chromedevtools.github.io/devtools-protocol/v8/Runtime/ and Node's own domain
// NodeRuntime (src/inspector/node_protocol.pdl).
const (
	methodHeapUsage       = "Runtime.getHeapUsage"
	methodEvaluate        = "Runtime.evaluate"
	methodCollect         = "HeapProfiler.collectGarbage"
	methodStartSampling   = "HeapProfiler.startSampling"
	methodStopSampling    = "HeapProfiler.stopSampling"
	methodSamplingProfile = "HeapProfiler.getSamplingProfile"
	methodNotifyWaiting   = "NodeRuntime.notifyWhenWaitingForDisconnect"
	eventWaiting          = "NodeRuntime.waitingForDisconnect"
)

// exprReady is 1 once the target begins its program. V8 makes the command line API of a session at the
// first evaluation that has it, and before that moment without require: such a session would never have
// it. So it is asked without that API, before anything that may need it.
const exprReady = `Array.isArray(globalThis.process?.argv) ? 1 : 0`

// exprLimit reads the true limit: getBuiltinModule exists from Node 20.16 and 22.3 on and cannot
// be shadowed by the program; require is what the inspector's command line API gives before.
const exprLimit = `(globalThis.process?.getBuiltinModule?.('v8') ?? require('v8')).getHeapStatistics().heap_size_limit`

// exprCollect makes gc() visible in a fresh context only, runs it, and takes the flag back. It
// pauses the target a third as long as HeapProfiler.collectGarbage, which collects repeatedly.
const exprCollect = `(() => {
  const load = (name) => globalThis.process?.getBuiltinModule?.(name) ?? require(name);
  const v8 = load('v8');
  v8.setFlagsFromString('--expose-gc');
  try { load('vm').runInNewContext('gc')(); } finally { v8.setFlagsFromString('--no-expose-gc'); }
  return 1;
})()`

// exprClose makes the target close its inspector once this session has been left: close waits for
// all sessions. require is there only while the expression runs, and nothing may be thrown after it:
// that would end the target.
const exprClose = `(() => {
  const inspector = globalThis.process?.getBuiltinModule?.('inspector') ?? require('inspector');
  setTimeout(() => { try { inspector.close(); } catch {} }, 0);
  return 1;
})()`

// maxHeapBytes bounds what is believed: JSON numbers are exact up to it.
const maxHeapBytes = 1 << 53

type request struct {
	ID     int64  `json:"id"`
	Method string `json:"method"`
	Params any    `json:"params,omitempty"`
}

type evaluateParams struct {
	Expression     string `json:"expression"`
	CommandLineAPI bool   `json:"includeCommandLineAPI"`
	ReturnByValue  bool   `json:"returnByValue"`
	Silent         bool   `json:"silent"`
}

type notifyParams struct {
	Enabled bool `json:"enabled"`
}

// message is an answer (ID above 0) or an event (Method set).
type message struct {
	ID     int64           `json:"id"`
	Method string          `json:"method"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int64  `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// decodeMessage reads one message of the target.
func decodeMessage(data []byte) (message, error) {
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		return message{}, fmt.Errorf("not an inspector message: %w", err)
	}
	if m.ID <= 0 && m.Method == "" {
		return message{}, errors.New("not an inspector message: neither an id nor a method")
	}
	return m, nil
}

// err returns the error that the target answered with. Its text is cut: it is the target's.
func (m *message) err() error {
	if m.Error == nil {
		return nil
	}
	return fmt.Errorf("target answered error %d: %s", m.Error.Code, clip(m.Error.Message))
}

func clip(s string) string {
	const most = 200
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
}

// decodeHeapUsage reads the result of Runtime.getHeapUsage.
func decodeHeapUsage(result []byte) (used, total Amount, err error) {
	var r struct {
		UsedSize  *float64 `json:"usedSize"`
		TotalSize *float64 `json:"totalSize"`
	}
	if err := json.Unmarshal(result, &r); err != nil {
		return Amount{}, Amount{}, fmt.Errorf("heap usage: %w", err)
	}
	if used, err = amountOf("usedSize", r.UsedSize); err != nil {
		return Amount{}, Amount{}, err
	}
	if total, err = amountOf("totalSize", r.TotalSize); err != nil {
		return Amount{}, Amount{}, err
	}
	return used, total, nil
}

func amountOf(name string, v *float64) (Amount, error) {
	switch {
	case v == nil:
		return Amount{}, fmt.Errorf("heap usage: %s is missing", name)
	case math.IsNaN(*v) || *v < 0 || *v > maxHeapBytes:
		return Amount{}, fmt.Errorf("heap usage: %s = %v is not a size", name, *v)
	}
	return Some(units.Bytes(*v)), nil
}

// decodeEvaluate reads a number from the result of Runtime.evaluate.
func decodeEvaluate(result []byte) (float64, error) {
	var r struct {
		Result struct {
			Type  string          `json:"type"`
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	if err := json.Unmarshal(result, &r); err != nil {
		return 0, fmt.Errorf("evaluate: %w", err)
	}
	if r.Exception != nil {
		return 0, fmt.Errorf("evaluate: target threw %s %s", clip(r.Exception.Text), clip(r.Exception.Exception.Description))
	}
	var v *float64
	if err := json.Unmarshal(r.Result.Value, &v); r.Result.Type != "number" || err != nil || v == nil {
		return 0, fmt.Errorf("evaluate: a %s came back, not a number", clip(r.Result.Type))
	}
	return *v, nil
}

// decodeLimit reads heap_size_limit.
func decodeLimit(result []byte) (Amount, error) {
	v, err := decodeEvaluate(result)
	if err != nil {
		return Amount{}, err
	}
	if v < 1 {
		return Amount{}, fmt.Errorf("heap_size_limit = %v is not a limit", v)
	}
	return amountOf("heap_size_limit", &v)
}

// debuggee is one entry of /json/list.
type debuggee struct {
	id   string // made anew with each start of the target's inspector
	path string // of the websocket, on the configured address

	via *http.Client // that has found it and reaches it
	of  machineKey   // the process among whose ports it was found; zero where an address is configured
}

// decodeList finds the Node.js target in the answer of /json/list. Of the websocket's URL only the
// path counts: the host in it is the target's claim.
func decodeList(data []byte) (debuggee, error) {
	var list []struct {
		ID   string `json:"id"`
		Type string `json:"type"`
		URL  string `json:"webSocketDebuggerUrl"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return debuggee{}, fmt.Errorf("not an inspector: /json/list: %w", err)
	}
	for _, e := range list {
		if e.Type != "node" || e.ID == "" || e.URL == "" {
			continue
		}
		u, err := url.Parse(e.URL)
		if err != nil || len(u.Path) < 2 || u.Path[0] != '/' {
			return debuggee{}, fmt.Errorf("not an inspector: /json/list gives the websocket %q", clip(fetch.PublicURL(e.URL)))
		}
		return debuggee{id: e.ID, path: u.EscapedPath()}, nil
	}
	return debuggee{}, errors.New("not a Node.js inspector: /json/list names no target of type node")
}
