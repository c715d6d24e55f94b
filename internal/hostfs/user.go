package hostfs

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
)

// UserID returns the number of a user given by name or number. The error says what to write.
func UserID(name string) (uint32, error) {
	switch n, err := strconv.ParseUint(name, 10, 32); {
	case err == nil && n != 1<<32-1: // which means no one in particular, chown(2)
		return uint32(n), nil
	case err == nil || errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%q is not the number of a user: write one below 4294967295", name)
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, fmt.Errorf("no user %q on this host: write the name of one that exists (getent passwd shows them) or its number", name)
	}
	n, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("user %q has the number %q: write a number below 4294967295", name, u.Uid)
	}
	return uint32(n), nil
}
