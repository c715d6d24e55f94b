package proc

import "testing"

func TestMapUID(t *testing.T) {
	const rootless = "         0       1000          1\n         1     100000      65536\n"
	for uid, want := range map[uint32]int64{1000: 0, 100000: 1, 100999: 1000, 165535: 65536, 165536: -1, 5: -1, 0: -1} {
		if got, mapped := mapUID(rootless, uid); int64(got) != max(want, 0) || mapped != (want >= 0) {
			t.Errorf("user %d is %d, %v inside, want %d", uid, got, mapped, want)
		}
	}
	if _, mapped := mapUID("no map\n", 0); mapped {
		t.Error("a map that is none maps a user")
	}
}

func FuzzMapUID(f *testing.F) {
	f.Add("0 1000 1\n1 100000 65536\n", uint32(1000))
	f.Fuzz(func(t *testing.T, text string, uid uint32) {
		if inside, mapped := mapUID(text, uid); !mapped && inside != 0 {
			t.Errorf("%q has %d for %d, which it does not map", text, inside, uid)
		}
	})
}
