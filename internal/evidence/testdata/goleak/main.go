// Command goleak is a service that the tests capture. Its cache breathes, its requests leave garbage, and on
// demand it leaks.
package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"runtime/debug"
	"strings"
)

type session struct {
	user string
	seen []int
}

var (
	cache    = make(map[int][]byte)
	sessions []*session
	served   int
)

//go:noinline
func cacheTile(id int) { cache[id] = make([]byte, 8<<10) }

//go:noinline
func rememberSession(id int) {
	sessions = append(sessions, &session{user: fmt.Sprint("user", id), seen: make([]int, 120)})
}

//go:noinline
func handleRequest(id int) int { return len(strings.Repeat(fmt.Sprint("item ", id), 200)) }

func breathe(mib int) {
	for len(cache) < mib*128 {
		cacheTile(served)
		served++
	}
	for key := range cache {
		if len(cache) <= mib*128 {
			break
		}
		delete(cache, key)
	}
}

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() { _ = http.Serve(l, nil) }()
	fmt.Println("ready", l.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var name string
		var n int
		fmt.Sscan(in.Text(), &name, &n)
		fmt.Println("begin", name)
		switch name {
		case "breathe":
			breathe(n)
		case "serve":
			for range n {
				served += handleRequest(served) & 1
			}
		case "snapshot":
			f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			if err != nil {
				panic(err)
			}
			debug.WriteHeapDump(f.Fd())
			f.Close()
		case "leak":
			for range n * 1024 {
				rememberSession(served)
				served++
			}
		}
		fmt.Println("end", name)
	}
}
