package hostfs

import "testing"

func TestJoin(t *testing.T) {
	f := func(rootfs, dir, want string) {
		t.Helper()
		if got := (Roots{RootFS: rootfs}).Join(dir); got != want {
			t.Errorf("%q below %q: %q, want %q", dir, rootfs, got, want)
		}
	}
	f("", "/tmp", "/tmp")
	f("/", "/tmp", "/tmp")
	f("", "/tmp//x/", "/tmp//x/") // as it was written
	f("/host", "/tmp", "/host/tmp")
	f("/host/", "/tmp//x/", "/host/tmp/x")
	f("/host", "/", "/host")
}
