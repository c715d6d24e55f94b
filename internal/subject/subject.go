package subject

import "github.com/spillway-exporter/spillway_exporter/internal/policy"

// Name is what a playbook relieves, and what is read to see whether it helped. A kind of directory
// policy is a subject of the same name.
type Name string

// The subjects.
const (
	Memory Name = "memory"
	Heap   Name = "heap"
	Cache  Name = policy.KindCache
	Temp   Name = policy.KindTemp
	Upload Name = policy.KindUpload
	Log    Name = policy.KindLog
)

// Subject is a row of the table.
type Subject struct {
	Name     Name
	Source   string // that samples it
	Pressure string // message of the log when a playbook begins
	Relief   string // and when it has ended
}

// Table are all subjects: memory, the heap, and the kinds of directory policies.
var Table = append([]Subject{
	{Memory, "process", "memory pressure", "memory after relief"},
	{Heap, "heap", "heap pressure", "heap after relief"},
}, kinds()...)

func kinds() []Subject {
	var out []Subject
	for _, k := range policy.Kinds {
		out = append(out, Subject{Name(k.Name), k.Name, k.Name + " pressure", k.Noun + " after relief"})
	}
	return out
}

// Of returns the row of a subject; that of memory for a name that is none.
func Of(name Name) Subject {
	for _, s := range Table {
		if s.Name == name {
			return s
		}
	}
	return Table[0]
}
