package dispatch

import (
	"slices"
	"strings"
	"testing"
)

func TestPlaybooksThatNameOthers(t *testing.T) {
	p := readPlaybooks(t, `
all: [relieve_memory, last]
last: [{do: command, argv: [/bin/true]}]
relieve_memory: [clean_temp, trim_cache]
`)
	if got := mistakes(p.Validate); got != nil {
		t.Fatal(got)
	}
	built := p.Build(func(string) bool { return true }, nil)
	for name, want := range map[string]string{
		"all": `clean_temp, evict_cache, command ["/bin/true"]`, "relieve_memory": "clean_temp, evict_cache", "trim_cache": "evict_cache",
	} {
		if got := describe(built[name].Steps); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := strings.Join(Names(p, Playbooks{"clean_temp": nil, "off": nil}), " "); got != "all clean_temp enforce_uploads last on_exit relieve_heap relieve_memory rotate_logs trim_cache" {
		t.Errorf("names %s", got)
	}
}

func TestCycles(t *testing.T) {
	p := readPlaybooks(t, `
a: [clean_temp, b]
b: [c]
c: [evict_cache, a]
self: [self]
outside: [a]
relieve_memory: [trim_cache]
trim_cache: [relieve_memory]
fine: [clean_temp, clean_temp]
`)
	want := []string{
		"a: names itself: a -> b -> c -> a: remove one of these steps",
		"b: names itself: b -> c -> a -> b: remove one of these steps",
		"c: names itself: c -> a -> b -> c: remove one of these steps",
		"relieve_memory: names itself: relieve_memory -> trim_cache -> relieve_memory: remove one of these steps",
		"self: names itself: self -> self: remove one of these steps",
		"trim_cache: names itself: trim_cache -> relieve_memory -> trim_cache: remove one of these steps",
	}
	if got := strings.Join(mistakes(p.Validate), "\n"); got != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	// Without the check it would end all the same.
	if steps := p.Build(func(string) bool { return true }, nil)["a"].Steps; len(steps) == 0 {
		t.Error("no steps")
	}
	// Many that name many, and come to nothing, take no time.
	wide := Playbooks{"trim_cache": nil}
	last := "trim_cache"
	for name := range strings.SplitSeq("abcdefghijklmnop", "") {
		wide[name] = slices.Repeat([]Step{{Do: last}}, maxSteps)
		last = name
	}
	if got := strings.Join(mistakes(wide.Validate), "\n"); !strings.Contains(got, "p: has more than 50 steps") {
		t.Error(got)
	}
	long := readPlaybooks(t, `
x: [y, y, y]
y: [z, z, z, z]
z: [clean_temp, clean_temp, clean_temp, clean_temp, clean_temp]
w: [{do: z, when: [critical]}, nowhere]
`)
	got := strings.Join(mistakes(long.Validate), "\n")
	for _, says := range []string{"x: has more than 50 steps", `w[0]: is the playbook "z" with keys of a step`, `w[1].do: "nowhere" is neither an action nor a playbook`} {
		if !strings.Contains(got, says) {
			t.Errorf("no %q in\n%s", says, got)
		}
	}
}
