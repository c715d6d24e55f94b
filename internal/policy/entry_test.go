package policy

import "testing"

func TestGrouper(t *testing.T) {
	f := func(group, name, want string) {
		t.Helper()
		of, err := (&Common{Group: group}).Grouper()
		if err != nil {
			t.Fatal(err)
		}
		if got := string(of([]byte(name))); got != want {
			t.Errorf("%s: the entry of %q is %q, want %q", group, name, got, want)
		}
	}
	f(GroupStem, "video.mp4", "video")
	f(GroupStem, "video.en.srt", "video")
	f(GroupStem, "video", "video")
	f(GroupStem, ".hidden.txt", ".hidden")
	f(GroupStem, ".a", ".a")
	f(GroupStem, "a.", "a")
	f(GroupStem, "\xff.x", "\xff")
	f(`(.+)\.part\d+`, "up.part12", "up")
	f(`(.+)\.part\d+`, "up.part12.tmp", "up.part12.tmp") // the whole name
	f(`a|(b)`, "a", "a")                                 // the group is not a part of the match
	f(`x(\d*)`, "x", "x")                                // an empty one joins nothing
}
